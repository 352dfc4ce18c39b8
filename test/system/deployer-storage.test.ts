// Both storages by themselves: files of this machine with QEMU's programs, and a real Ceph.

import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { NbdClient } from '../../src/deployer/host/nbd-client.ts'
import { FileStorage } from '../../src/deployer/storage/file-storage.ts'
import { RbdStorage } from '../../src/deployer/storage/rbd-storage.ts'
import { openSource } from '../../src/io/index.ts'
import { encodeRbdRecord, type WritableRbdRecord } from '../../src/rbd/index.ts'
import type { StreamSource } from '../../src/sparse/index.ts'
import { CephCluster } from '../lab/ceph-cluster.ts'
import { runCommand } from '../lab/command.ts'
import { expectFailure } from '../unit/io/expect-failure.ts'
import { useTemporaryFolder } from '../unit/io/temporary-folder.ts'

const MIB = 1024 * 1024
const CLUSTER_BYTES = 64 * 1024
const WAIT = { signal: new AbortController().signal, onWait: () => undefined }

const path = useTemporaryFolder()

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

const modeOf = (name: string): number => statSync(path(name)).mode & 0o777

describe('the images of machines', () => {
  let storage: FileStorage | undefined
  const vms = ['1db', `9${'x'.repeat(38)}y`, `9${'x'.repeat(38)}z`]
  const record = { id: '1', cluster: 'c', template: 't', generation: 0 }
  afterEach(async () => {
    for (const vm of vms) await storage?.removeVm(vm)
    await storage?.removeCluster()
  })

  it('are offered whatever machines are called, and nobody else can read their files', async () => {
    const port = await freePort()
    writeFileSync(path('t.raw'), '')
    truncateSync(path('t.raw'), MIB)
    storage = new FileStorage(path('t.raw'), 'c', { host: '127.0.0.1', port })
    const lease = await storage.acquireLease(WAIT)
    expect([modeOf('t.raw.skilfish'), modeOf('t.raw.skilfish/c'), modeOf('t.raw.skilfish/c/lease')]).toEqual([
      0o700, 0o700, 0o600,
    ])
    for (const vm of vms) {
      await storage.createVm(vm, record)
      expect(await storage.openTarget(vm)).toMatchObject({ export: `${vm}-write` })
    }
    for (const [index, vm] of vms.entries()) {
      const client = await NbdClient.connect({ host: '127.0.0.1', port }, `${vm}-write`, 30_000)
      await client.write(3 * index * CLUSTER_BYTES, Buffer.alloc(CLUSTER_BYTES, 7))
      await client.close()
      await storage.snapshot(vm, 1)
      expect(await storage.remoteImage(vm, 1)).toMatchObject({ export: `${vm}-read` })
      expect(await storage.uniqueRanges(vm, 1)).toEqual([
        { offset: 3 * index * CLUSTER_BYTES, lengthBytes: CLUSTER_BYTES },
      ])
      expect(modeOf(`t.raw.skilfish/c/${vm}.qcow2`)).toBe(0o600)
    }
    await lease.release()
  })
})

describe('on a full disk', () => {
  afterEach(() => runCommand('umount', [path('full')]))

  it('a lease cannot be had, is told so, and keeps nobody out', async () => {
    mkdirSync(path('full'))
    runCommand('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', path('full')])
    writeFileSync(path('full/t.raw'), '')
    truncateSync(path('full/t.raw'), MIB)
    expect(() => writeFileSync(path('full/ballast'), Buffer.alloc(MIB))).toThrow('ENOSPC')
    const [storage, folder] = [
      new FileStorage(path('full/t.raw'), 'c', { host: '', port: 0 }),
      path('full/t.raw.skilfish/c'),
    ]
    const full = `${folder}/lease: no space left on device`
    await expectFailure(storage.acquireLease(WAIT), 'STORAGE_FAILED', full)
    await expectFailure(storage.acquireLease(WAIT), 'STORAGE_FAILED', full)
    await expectFailure(
      storage.setClusterRecord({ maxBitrate: 1 }),
      'STORAGE_FAILED',
      `${folder}/_cluster.json: no space`,
    )
    expect(readdirSync(folder)).toEqual([])
    truncateSync(path('full/ballast'), 0)
    const lease = await storage.acquireLease(WAIT)
    expect(readFileSync(`${folder}/lease`, 'utf8')).toContain('expiresMs')
    await lease.release()
    expect(existsSync(path('full/t.raw.skilfish'))).toBe(false)
  })
})

describe('in Ceph', () => {
  let ceph: CephCluster
  beforeAll(async () => {
    ceph = await CephCluster.up()
  })
  afterAll(() => ceph.down())

  it('a configuration is that of its storage alone, and what a machine has over the template is found', async () => {
    ceph.rbd('create', '--size', '16M', 'template')
    ceph.rbdPipe(['import-diff', '--no-progress', '-', 'template'], changes([0, 5 * MIB], []))
    ceph.rbd('snap', 'create', '--no-progress', 'template@golden')
    const storage = new RbdStorage('rbd:template@golden', 'c', ceph.confPath)
    expect(process.env['CEPH_CONF']).toBeUndefined()
    const { source, cephConf } = await storage.template()
    const opened = await openSource(source, { cephConf: cephConf! })
    const offsets: number[] = []
    for await (const { offset } of (opened as StreamSource).extents()) offsets.push(offset)
    expect(offsets).toContain(5 * MIB)
    await storage.createVm('vm', { id: '1', cluster: 'c', template: 't', generation: 0 })
    ceph.rbdPipe(['import-diff', '--no-progress', '-', 'c.vm'], changes([MIB, MIB + CLUSTER_BYTES, 9 * MIB], [4 * MIB]))
    await storage.snapshot('vm', 1)
    const ranges = await storage.uniqueRanges('vm', 1)
    const isFound = (at: number): boolean => ranges.some((one) => one.offset <= at && one.offset + one.lengthBytes > at)
    expect([MIB, MIB + CLUSTER_BYTES, 4 * MIB, 9 * MIB, 13 * MIB].map(isFound)).toEqual([true, true, true, true, false])
    expect(ranges.every(({ lengthBytes }) => lengthBytes <= 4 * MIB)).toBe(true)
    await storage.removeVm('vm')
  })
})

/** What has `rbd` write a cluster of data at each of some offsets, and zero the object of 4 MiB at each of others. */
function changes(written: readonly number[], zeroed: readonly number[]): Buffer {
  const bytes = Buffer.alloc(CLUSTER_BYTES, 7)
  const records: readonly WritableRbdRecord[] = [
    { kind: 'diff', version: 1 },
    ...written.map((offset) => ({ kind: 'data', offset, bytes }) as const),
    ...zeroed.map((offset) => ({ kind: 'zeros', offset, lengthBytes: 4 * MIB }) as const),
    { kind: 'end' },
  ]
  return Buffer.concat(records.flatMap((record) => encodeRbdRecord(record, 1)))
}
