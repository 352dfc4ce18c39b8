import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { RbdStorage } from '../../src/deployer/storage/rbd-storage.ts'
import type { VmRecord } from '../../src/deployer/storage/storage.ts'
import { CephCluster } from '../lab/ceph-cluster.ts'
import { expectFailure } from '../unit/io/expect-failure.ts'

let ceph: CephCluster
let storage: RbdStorage
beforeAll(async () => {
  ceph = await CephCluster.up()
  ceph.rbd('create', '--size', '8M', 'template')
  ceph.rbd('snap', 'create', '--no-progress', 'template@golden')
  storage = new RbdStorage('rbd:rbd/template@golden', 'prod', ceph.confPath)
})
afterAll(() => ceph.down())
afterEach(() => void vi.useRealTimers())

const RECORD: VmRecord = { id: '1', cluster: 'prod', template: 'template@golden', generation: 0 }

it('makes a machine its image, and takes it away, with all that was left of an attempt', async () => {
  // A creation that was interrupted.
  ceph.rbd('clone', '--rbd-default-clone-format', '2', 'template@golden', 'prod.a~part')
  ceph.rbd('snap', 'create', '--no-progress', 'prod.a~part@generation-0')
  await storage.createVm('a', RECORD)
  expect(await storage.vmRecord('a')).toEqual(RECORD)
  expect(ceph.rbd('ls')).toBe('prod.a\ntemplate\n')
  expect(ceph.rbd('snap', 'ls', 'prod.a')).toContain('generation-0')
  await storage.removeVm('a')
  expect(ceph.rbd('ls')).toBe('template\n')
})

it("leaves an image alone that has a machine's name and is somebody else's", async () => {
  ceph.rbd('create', '--size', '8M', 'prod.db1')
  ceph.rbd('snap', 'create', '--no-progress', 'prod.db1@theirs')
  await expectFailure(storage.createVm('db1', RECORD), 'STORAGE_FAILED', 'cannot make rbd/prod.db1', 'somebody else')
  expect(await storage.vmRecord('db1')).toBeUndefined()
  await storage.removeVm('db1')
  expect(ceph.rbd('ls')).toBe('prod.db1\ntemplate\n')
  expect(ceph.rbd('snap', 'ls', 'prod.db1')).toContain('theirs')
})

it("takes no record from a template that was once a machine's image", async () => {
  ceph.rbd('image-meta', 'set', 'template', 'skilfish.vm', JSON.stringify({ ...RECORD, generation: 7 }))
  await storage.createVm('b', RECORD)
  expect(await storage.vmRecord('b')).toEqual(RECORD)
  ceph.rbd('image-meta', 'remove', 'template', 'skilfish.vm')
  await storage.removeVm('b')
})

it('changes nothing when the lease has ended meanwhile, command by command', async () => {
  const lease = await storage.acquireLease({ signal: new AbortController().signal, onWait: () => undefined })
  await storage.createVm('c', RECORD)
  vi.useFakeTimers({ toFake: ['Date'] })
  // As if this machine had slept.
  vi.setSystemTime(Date.now() + 60_000)
  const changes = [
    () => storage.createVm('d', RECORD),
    () => storage.snapshot('c', 1),
    () => storage.rollBack('c', 0),
    () => storage.removeVm('c'),
  ]
  for (const change of changes) await expectFailure(change(), 'CLUSTER_BUSY', 'the lease was lost')
  expect(ceph.rbd('ls')).toBe('prod._cluster\nprod.c\nprod.db1\ntemplate\n')
  await lease.release()
})
