import { chmodSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { beforeEach, expect, it } from 'vitest'
import { copyFault, keepCopy, removeCopy } from '../../../src/deployer/host/copy-record.ts'
import { HostFolder } from '../../../src/deployer/host/host-folder.ts'
import { findLocalCopy } from '../../../src/deployer/host/local-copy.ts'
import { useTemporaryFolder } from '../io/temporary-folder.ts'

const at = useTemporaryFolder()

/** File systems take the time of a change from the kernel's tick, of 10 ms at the most. */
const nextTick = (): Promise<void> => delay(20)

let path: string
beforeEach(async () => {
  path = at('unique-1.qcow2')
  writeFileSync(`${path}.part`, 'content')
  await keepCopy(`${path}.part`, path, { identity: 'debian 1' })
})

it('a copy that is complete is read-only, and as it was', async () => {
  expect(readdirSync(at()).sort()).toEqual(['unique-1.json', 'unique-1.qcow2'])
  expect(statSync(path).mode & 0o777).toBe(0o444)
  expect(await copyFault(path, 'debian 1')).toBeUndefined()
})

it.each([
  [
    'written to, with its times set back',
    'was changed after it was received',
    () => {
      const { atime, mtime } = statSync(path)
      chmodSync(path, 0o644)
      writeFileSync(path, 'CONTENT')
      chmodSync(path, 0o444)
      utimesSync(path, atime, mtime)
    },
  ],
  ['cut', 'has 1 bytes, and had 7', () => writeFileSync(path, 'c')],
  ['put there by hand', 'was never complete', () => rmSync(at('unique-1.json'))],
  ['removed', 'is not there', () => rmSync(path)],
])('one that was %s is told', async (_, fault, change) => {
  await nextTick()
  change()
  expect(await copyFault(path, 'debian 1')).toBe(`${path} ${fault}`)
})

it('one of another image is told', async () => {
  expect(await copyFault(path, 'debian 2')).toBe(`${path} is of another image`)
})

it('nothing is left of one that is removed', async () => {
  await removeCopy(path)
  expect(readdirSync(at())).toEqual([])
})

it('a machine with changes of its own needs both parts', async () => {
  const host = new HostFolder(at('host'))
  const folder = host.vm('c', 'a')
  const base = { key: 'debian', identity: 'debian 1', sizeBytes: 4 }
  const place = { base, image: 'i', generation: 1 }
  const look = (): Promise<object> => findLocalCopy(host, folder, place)
  const keep = async (copy: string, identity: string): Promise<void> => {
    writeFileSync(at('partial'), 'copy')
    await keepCopy(at('partial'), copy, { identity })
  }
  const [basePath, uniquePath] = [host.basePath('debian'), folder.uniquePath(1)]
  mkdirSync(host.bases, { recursive: true })
  mkdirSync(folder.path, { recursive: true })
  expect(await look()).toEqual({ reason: `${basePath} is not there` })
  await keep(basePath, 'debian 1')
  expect(await findLocalCopy(host, folder, { ...place, generation: 0 })).toEqual({ basePath, path: basePath })
  expect(await look()).toEqual({ reason: `${uniquePath} is not there` })
  await keep(uniquePath, 'i')
  expect(await look()).toEqual({ basePath, uniquePath, path: uniquePath })
  await nextTick()
  chmodSync(uniquePath, 0o644)
  expect(await look()).toEqual({ reason: `${uniquePath} was changed after it was received` })
})
