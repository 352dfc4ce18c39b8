import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { afterEach, expect, it, vi } from 'vitest'
import { openSpool } from '../../../src/io/spool.ts'
import { expectFailure } from './expect-failure.ts'
import { useTemporaryFolder } from './temporary-folder.ts'

const path = useTemporaryFolder()

afterEach(() => vi.restoreAllMocks())

const record = (index: number): Buffer => Buffer.from(`record ${index} `.repeat(index % 7))

it('gives records back, also out of order, written several at once', async () => {
  const spool = await openSpool(path('spool'))
  const indexes = Array.from({ length: 3000 }, (_, index) => index)
  await Promise.all(indexes.map((index) => spool.append(index, record(index))))
  for (const index of indexes.reverse()) expect(record(index).equals(await spool.read(index))).toBe(true)
  await spool.close()
})

it('reads into the memory of its caller', async () => {
  const spool = await openSpool(path('spool'))
  await spool.append(0, Buffer.from('one'))
  await spool.append(1, Buffer.from('two'))
  const into = new Uint8Array(5)
  const result = await spool.read(1, into)
  expect(result.buffer).toBe(into.buffer)
  expect(Buffer.from(result).toString()).toBe('two')
  expect([...into.subarray(3)]).toEqual([0, 0])
  await expect(spool.read(1, new Uint8Array(2))).rejects.toThrow('into: expected at least 3 bytes, got 2')
  await spool.close()
})

it('leaves nothing behind, however it ends', async () => {
  writeFileSync(path('empty'), '')
  for (const name of ['new', 'empty']) {
    const spool = await openSpool(path(name))
    await spool.append(0, new Uint8Array(100))
    expect(existsSync(path(name))).toBe(false)
    await spool.close()
  }
})

it('takes records in order only, and reads no record before it is written', async () => {
  const spool = await openSpool(path('spool'))
  await expect(spool.append(1, new Uint8Array(1))).rejects.toThrow('index: expected 0, got 1')
  await expect(spool.read(0)).rejects.toThrow(RangeError)
  const appending = spool.append(0, new Uint8Array(1))
  await expect(spool.read(0)).rejects.toThrow(RangeError)
  await appending
  await expect(spool.append(0, new Uint8Array(1))).rejects.toThrow('index: expected 1, got 0')
  expect(await spool.read(0)).toHaveLength(1)
  for (const index of [-1, 0.5, NaN, 1, 5000]) await expect(spool.read(index)).rejects.toThrow(RangeError)
  await spool.close()
})

it('does not take a file that holds something', async () => {
  writeFileSync(path('mine'), 'mine')
  await expectFailure(openSpool(path('mine')), 'SPOOL_FAILED', 'a file of 4 bytes is there; name a path that is free')
  expect(readFileSync(path('mine'), 'latin1')).toBe('mine')
})

it('does not take what is no file', async () => {
  mkdirSync(path('folder'))
  await expectFailure(openSpool(path('folder')), 'SPOOL_FAILED', 'it is a folder; name a file in it')
  await expectFailure(openSpool('/dev/null'), 'SPOOL_FAILED', 'it is not a regular file')
  expect(statSync('/dev/null').isCharacterDevice()).toBe(true)
  symlinkSync(path('nowhere'), path('link'))
  await expectFailure(openSpool(path('link')), 'SPOOL_FAILED', 'it is a symbolic link; name a path that is free')
  await expectFailure(openSpool(path('no', 'spool')), 'SPOOL_FAILED', 'its folder does not exist')
})

it('reports a disk that is full, and one that fails', async () => {
  const spool = await openSpool(path('spool'))
  await spool.append(0, new Uint8Array(3))
  const handle = await open(path('any'), 'w')
  const prototype = Object.getPrototypeOf(handle) as { write: () => Promise<never>; read: () => Promise<never> }
  await handle.close()
  const failure = (code: string): Error => Object.assign(new Error(`${code}: some text`), { code })
  vi.spyOn(prototype, 'write').mockRejectedValueOnce(failure('ENOSPC'))
  const text = `cannot write 5 bytes at 3 of the spool ${path('spool')}: no space is left; name a path on a disk with room`
  await expectFailure(spool.append(1, new Uint8Array(5)), 'SPOOL_FAILED', text)
  vi.spyOn(prototype, 'read').mockRejectedValueOnce(failure('EIO'))
  const reading = `cannot read 3 bytes at 0 of the spool ${path('spool')}: EIO: some text; it must be`
  await expectFailure(spool.read(0), 'SPOOL_FAILED', reading)
  await spool.close()
})
