import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import type { GuestConsole, GuestResult } from '../lab/guest-console.ts'
import { TestCluster } from '../lab/test-cluster.ts'

// Real Ceph, all daemons of which are stopped (SIGSTOP) in the middle of something and continued later. Two machines on two hosts, each
// under verified load over the storage.
let cluster: TestCluster
let guests: readonly GuestConsole[]
let runs: readonly Promise<GuestResult>[]

beforeAll(async () => {
  // 32 MiB at 4 MB/s: a fetch of some eight seconds.
  cluster = await TestCluster.up({ storage: 'rbd', hostCount: 2, sizeBytes: 32 * 1024 * 1024, maxBitrate: '4MB/s' })
})
afterAll(() => cluster.down())

beforeEach(async () => {
  await cluster.done('create')
  await cluster.done('boot')
  guests = await Promise.all(cluster.vms.map((vm) => cluster.guest(vm)))
  runs = guests.map((guest) => guest.run({ opsPerSec: 100 }))
  for (const run of runs) run.catch(() => undefined)
  await Promise.all(guests.map((guest) => guest.nextReport(({ reads }) => reads > 0)))
})
afterEach(async () => {
  cluster.storage.resume()
  for (const guest of guests) guest.close()
  await cluster.done('shutdown', '--timeout', '1')
  await cluster.done('destroy', '--discard')
  // With the template on their hosts machines would not boot over Ceph again.
  await cluster.done('evict')
})

/** The machines are on their local copies, and never noticed anything but time. */
async function expectGuestsUnharmed(): Promise<void> {
  await Promise.all(guests.map((guest) => guest.nextReport(({ reads }) => reads > 0)))
  for (const guest of guests) guest.stop()
  for (const run of runs) expect(await run).toMatchObject({ bad: 0, errors: 0 })
  for (const guest of guests) expect(await guest.verify()).toMatchObject({ bad: 0, errors: 0 })
  const { results } = await cluster.done('status')
  for (const view of results) expect(view).toMatchObject({ state: 'running', base: 'local' })
}

it('Ceph stopped during the fetch, until its machines are paused: the fetch ends well, and machines go on', async () => {
  const fetch = cluster.start('fetch')
  await fetch.said('"percent":2')
  cluster.storage.pause()
  await cluster.stateOf('vm1', 'io-error')
  cluster.storage.resume()
  await fetch.result
  expect(fetch.process.exitCode).toBe(0)
  const { results } = await cluster.done('switch')
  for (const { result } of results) expect(result).toMatchObject({ wasLocal: false, connectionsAfter: 0 })
  await expectGuestsUnharmed()
})

it('Ceph stopped during the switch, until that is done: machines are switched without it', async () => {
  await cluster.done('fetch')
  const change = cluster.start('switch')
  await change.said('"line":"switch vm1 on host1"')
  cluster.storage.pause()
  await Promise.all(cluster.vms.map((vm) => change.said(`"line":"switch ${vm}: done`)))
  await Promise.all(guests.map((guest) => guest.nextReport(({ reads }) => reads > 0)))
  cluster.storage.resume()
  await change.result
  expect(change.process.exitCode).toBe(0)
  await expectGuestsUnharmed()
})

it('Ceph stopped during the switch and continued soon: machines are switched', async () => {
  await cluster.done('fetch')
  const change = cluster.start('switch')
  await change.said('"line":"switch vm1 on host1"')
  cluster.storage.pause()
  // The journal tells that the machine's base is being changed.
  await cluster.baseOf('vm1', 'switching')
  cluster.storage.resume()
  await change.result
  expect(change.process.exitCode).toBe(0)
  await expectGuestsUnharmed()
})
