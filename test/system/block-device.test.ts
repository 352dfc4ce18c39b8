import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import koffi from 'koffi'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { isIncompleteTarget, loadLibc, NO_FFI_VARIABLE, openSink, openSource, openSpool } from '../../src/io/index.ts'
import { isRandomAccess, type ImageFacts, type RandomAccessSource } from '../../src/sparse/index.ts'
import { expectFailure } from '../unit/io/expect-failure.ts'
import { useTemporaryFolder } from '../unit/io/temporary-folder.ts'

/** Of every loop device here, and of what its backing file is full of. */
const DEVICE_BYTES = 16 * 1024 * 1024
const STALE = 0xee
const NOBODY = 65534
const MIB = 1024 * 1024

const run = (command: string, ...args: readonly string[]): string => execFileSync(command, args).toString().trim()
const image = (sizeBytes: number | undefined): ImageFacts => ({ name: 'disk.img', imageId: 'ab12', sizeBytes })

let cleanups: (() => void)[]

const path = useTemporaryFolder()
const backing = (): Buffer => readFileSync(path('backing'))

function attach(...options: readonly string[]): string {
  const device = run('losetup', '--find', '--show', ...options, path('backing'))
  cleanups.push(() => run('losetup', '--detach', device))
  return device
}

/** Mounts a file system of its own, as small as a loop device; returns the mount point. */
function mountSmall(device: string): string {
  run('mkfs.ext4', '-q', device)
  mkdirSync(path('mounted'))
  run('mount', device, path('mounted'))
  cleanups.push(() => run('umount', path('mounted')))
  return path('mounted')
}

beforeEach(() => {
  expect(process.getuid?.()).toBe(0)
  cleanups = []
  writeFileSync(path('backing'), new Uint8Array(DEVICE_BYTES).fill(STALE))
})

afterEach(() => {
  vi.unstubAllEnvs()
  for (const cleanup of cleanups.reverse()) cleanup()
})

describe.each([
  ['with the foreign function interface', '', {}],
  ['without it', '1', {}],
  ['with direct writes', '', { direct: true }],
  ['with direct writes, without it', '1', { direct: true, sync: true }],
])('a block device as target, %s', (_, noFfi, options) => {
  beforeEach(() => {
    vi.stubEnv(NO_FFI_VARIABLE, noFfi)
  })

  it('holds the image, zeros in its holes, and behind it what it held before', async () => {
    const sizeBytes = 9 * MIB + 1234
    const data = new Uint8Array(300_000).map((_, i) => i * 7)
    const device = attach()
    const sink = await openSink(device, options)
    expect(backing().every((byte) => byte === STALE)).toBe(true)
    await sink.open(image(sizeBytes))
    expect(await isIncompleteTarget(device)).toBe(true)
    await Promise.all([
      sink.zero(0, 700),
      sink.write(700, data),
      sink.zero(300_700, 4 * MIB - 300_700),
      sink.write(4 * MIB, data),
      sink.zero(4 * MIB + 300_000, sizeBytes - 4 * MIB - 300_000),
    ])
    expect(await isIncompleteTarget(device)).toBe(true)
    await sink.finish(sizeBytes)
    expect(await isIncompleteTarget(device)).toBe(false)
    const expected = Buffer.alloc(DEVICE_BYTES, STALE).fill(0, 0, sizeBytes)
    expected.set(data, 700)
    expected.set(data, 4 * MIB)
    run('blockdev', '--flushbufs', device)
    expect(expected.equals(backing())).toBe(true)
  })

  it.each([0, 1, 512, 4095, 4097])('keeps all behind an image of %i bytes', async (sizeBytes) => {
    const device = attach()
    for (const announced of [sizeBytes, undefined]) {
      const sink = await openSink(device, options)
      await sink.open(image(announced))
      await sink.write(0, new Uint8Array(sizeBytes).fill(1))
      await sink.finish(sizeBytes)
      run('blockdev', '--flushbufs', device)
      expect(Buffer.alloc(DEVICE_BYTES, STALE).fill(1, 0, sizeBytes).equals(backing())).toBe(true)
    }
  })
})

describe('a block device as target', () => {
  it('gives the space of holes back', async () => {
    const device = attach()
    const sink = await openSink(device)
    const before = statSync(path('backing')).blocks
    await sink.open(image(DEVICE_BYTES))
    await sink.zero(0, DEVICE_BYTES)
    await sink.finish(DEVICE_BYTES)
    expect(statSync(path('backing')).blocks * 512).toBeLessThan(before * 512 - DEVICE_BYTES / 2)
  })

  it.each([
    ['zeroed in another way where its space cannot be given back', 1, 2],
    ['written where the kernel cannot zero it', 2, 2],
  ])('is %s', async (_, refusalCount, callCount) => {
    const fallocate = vi.spyOn(loadLibc()!, 'fallocate')
    for (let i = 0; i < refusalCount; i++) fallocate.mockResolvedValueOnce(-constants.errno.EOPNOTSUPP)
    const device = attach()
    const sink = await openSink(device)
    await sink.open(image(DEVICE_BYTES))
    await sink.zero(0, DEVICE_BYTES)
    expect(fallocate).toHaveBeenCalledTimes(callCount)
    await sink.finish(DEVICE_BYTES)
    run('blockdev', '--flushbufs', device)
    expect(Buffer.alloc(DEVICE_BYTES).equals(backing())).toBe(true)
    fallocate.mockRestore()
  })

  it('keeps its holes as they are when it is said to be zero', async () => {
    const sink = await openSink(attach(), { assumeZeroed: true })
    await sink.open(image(DEVICE_BYTES))
    await sink.zero(0, DEVICE_BYTES)
    await sink.finish(DEVICE_BYTES)
    expect(Buffer.alloc(DEVICE_BYTES, STALE).fill(0, 0, 4096).equals(backing())).toBe(true)
  })

  it('too small is refused, and stays as it was', async () => {
    const device = attach()
    const sink = await openSink(device)
    const text = `cannot receive to ${device}: the device has 16777216 bytes; the image needs at least 16777217`
    await expectFailure(sink.open(image(DEVICE_BYTES + 1)), 'TARGET_TOO_SMALL', text)
    await sink.abort()
    expect(backing().every((byte) => byte === STALE)).toBe(true)
  })

  it('too small for a stream fails at the write that goes beyond', async () => {
    const sink = await openSink(attach())
    await sink.open(image(undefined))
    await sink.write(DEVICE_BYTES - 10, new Uint8Array(10))
    await expectFailure(
      sink.write(DEVICE_BYTES, new Uint8Array(1)),
      'TARGET_TOO_SMALL',
      'the device has 16777216 bytes',
    )
    await expectFailure(sink.finish(DEVICE_BYTES + 1), 'TARGET_TOO_SMALL', 'the device has 16777216 bytes')
    await sink.abort()
  })

  it('given up keeps the stamp', async () => {
    const device = attach()
    const sink = await openSink(device)
    await sink.open(image(DEVICE_BYTES))
    await sink.write(0, new Uint8Array(MIB))
    await sink.abort()
    expect(await isIncompleteTarget(device)).toBe(true)
  })

  it('mounted, or held by another sink, is busy', async () => {
    const device = attach()
    const sink = await openSink(device)
    await expectFailure(openSink(device), 'TARGET_BUSY', `cannot open ${device}: it is mounted or in use`)
    await sink.abort()
    mountSmall(device)
    await expectFailure(openSink(device), 'TARGET_BUSY', `cannot open ${device}: it is mounted or in use`)
  })

  it('with a mounted partition is busy', async () => {
    const device = attach('--partscan')
    // Told to the kernel, not written as a table: not every kernel reads tables.
    run('addpart', device, '1', '2048', String(DEVICE_BYTES / 512 - 2048))
    mountSmall(`${device}p1`)
    await expectFailure(openSink(device), 'TARGET_BUSY', `cannot open ${device}: it is mounted or in use`)
  })

  it('that is read-only is denied', async () => {
    const device = attach('--read-only')
    await expectFailure(openSink(device), 'TARGET_DENIED', `cannot receive to ${device}: the device is read-only`)
  })
})

describe('a block device as source', () => {
  const openDevice = async (device: string): Promise<RandomAccessSource> => {
    const source = await openSource(device)
    if (!isRandomAccess(source)) throw new Error('expected a source of random access')
    return source
  }

  it.each(['', '1'])('is read whole (no FFI: "%s")', async (noFfi) => {
    vi.stubEnv(NO_FFI_VARIABLE, noFfi)
    const source = await openDevice(attach())
    expect(source.sizeBytes).toBe(DEVICE_BYTES)
    expect(source.identity).toBeUndefined()
    expect(await source.nextData(0)).toEqual({ start: 0, end: DEVICE_BYTES })
    const into = new Uint8Array(100)
    await source.readInto(DEVICE_BYTES - 100, into)
    expect(into.every((byte) => byte === STALE)).toBe(true)
    await source.verifyUnchanged?.()
    await source.close?.()
  })

  it('whose size changes has changed', async () => {
    const device = attach()
    const source = await openDevice(device)
    truncateSync(path('backing'), DEVICE_BYTES - MIB)
    run('losetup', '--set-capacity', device)
    await expectFailure(source.verifyUnchanged!(), 'SOURCE_CHANGED', 'it has 15728640 bytes now')
    await source.close?.()
  })
})

describe('a full file system', () => {
  it.each([{}, { direct: true }])('ends a write, and leaves the stamp (%o)', async (options) => {
    const target = join(mountSmall(attach()), 'target')
    const sink = await openSink(target, options)
    await sink.open(image(2 * DEVICE_BYTES))
    const writeAll = async (): Promise<void> => {
      for (let at = 0; at < 2 * DEVICE_BYTES; at += MIB) await sink.write(at, new Uint8Array(MIB).fill(1))
    }
    await expectFailure(writeAll(), 'TARGET_FULL', `of ${target}: no space is left`)
    await sink.abort()
    expect(await isIncompleteTarget(target)).toBe(true)
  })

  it('ends a spool', async () => {
    const spool = await openSpool(join(mountSmall(attach()), 'spool'))
    const appendAll = async (): Promise<void> => {
      for (let index = 0; index < 32; index++) await spool.append(index, new Uint8Array(MIB))
    }
    await expectFailure(appendAll(), 'SPOOL_FAILED', 'no space is left; name a path on a disk with room')
    await spool.close()
  })

  it('does not take a file larger than its files can be', async () => {
    const target = join(mountSmall(attach()), 'target')
    const sink = await openSink(target)
    await expectFailure(sink.open(image(2 ** 50)), 'TARGET_TOO_SMALL', `cannot prepare ${target}: the file system`)
    await sink.abort()
    expect(statSync(target, { throwIfNoEntry: false })).toBeUndefined()
  })

  it('mounted read-only is denied', async () => {
    const mounted = mountSmall(attach())
    run('mount', '-o', 'remount,ro', mounted)
    await expectFailure(openSink(join(mounted, 'target')), 'TARGET_DENIED', 'it is read-only; it must be writable')
  })
})

describe('an ordinary user', () => {
  // access(2) goes by the real user, which Node.js can change for good only: so the saved one stays root.
  const setresuid = koffi
    .load('libc.so.6')
    .func('int setresuid(uint32_t real, uint32_t effective, uint32_t saved)') as (
    ...ids: [number, number, number]
  ) => number
  const asRoot = (work: () => void): void => {
    expect(setresuid(0, 0, 0)).toBe(0)
    work()
    expect(setresuid(NOBODY, NOBODY, 0)).toBe(0)
  }

  beforeEach(() => asRoot(() => run('chmod', '755', path())))
  afterEach(() => {
    expect(setresuid(0, 0, 0)).toBe(0)
  })

  it('may not send what that user may not read', async () => {
    asRoot(() => run('chmod', '600', path('backing')))
    await expectFailure(openSource(path('backing')), 'SOURCE_DENIED', 'this user must be allowed to read it')
  })

  it('may not receive where that user may not write', async () => {
    await expectFailure(openSink(path('backing')), 'TARGET_DENIED', 'this user must be allowed to write it')
    await expectFailure(openSink(path('new')), 'TARGET_DENIED', 'this user must be allowed to write it')
    await expectFailure(openSpool(path('new')), 'SPOOL_FAILED', 'this user must be allowed to write there')
    let device = ''
    asRoot(() => (device = attach()))
    await expectFailure(openSink(device), 'TARGET_DENIED', `cannot open ${device}: permission denied`)
    await expectFailure(openSource(device), 'SOURCE_DENIED', `cannot open ${device}: permission denied`)
  })
})
