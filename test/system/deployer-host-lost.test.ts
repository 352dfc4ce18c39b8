import { afterAll, beforeAll, expect, it } from 'vitest'
import type { CommandRun, StartedCommand } from '../lab/cluster-command.ts'
import { verifyGuestDisk } from '../lab/guest.ts'
import type { GuestConsole, GuestResult } from '../lab/guest-console.ts'
import { TestCluster } from '../lab/test-cluster.ts'

// Two machines on two hosts, one life for all tests, in this order. The second host is lost in the middle of each operation: nothing
// runs there any more, and nothing reaches it. The first machine works all the time, and never sees an error.
let cluster: TestCluster
let first: GuestConsole
let run: Promise<GuestResult>

beforeAll(async () => {
  // 16 MiB at 4 MB/s: a fetch of some four seconds.
  cluster = await TestCluster.up({ storage: 'file', hostCount: 2, sizeBytes: 16 * 1024 * 1024, maxBitrate: '4MB/s' })
  await cluster.done('create')
})
afterAll(() => cluster.down())

/** Begins an operation, loses the second host when it says so, and expects that host alone to be told. The host is back then. */
async function loseDuring(started: StartedCommand, moment: string): Promise<CommandRun> {
  await started.said(moment)
  const bringBack = cluster.loseHost(1)
  try {
    const ended = await started.result
    expect([ended.status, ended.code]).toEqual([4, 'CLUSTER_FAILED'])
    const [one, other] = ended.results
    expect([one!['host'], one!['error']]).toEqual(['host1', undefined])
    expect(other).toMatchObject({ host: 'host2', error: { code: 'HOST_FAILED' } })
    const { results } = await cluster.done('status')
    expect(results[1]).toMatchObject({ state: 'unknown', reason: expect.stringMatching(/^cannot run /) as string })
    return ended
  } finally {
    await bringBack()
  }
}

/** What the second machine had flushed is there when its host is back. */
async function expectSecond(tag: number): Promise<void> {
  const guest = await cluster.guest('vm2')
  expect(await guest.check(0, 64, tag)).toMatchObject({ bad: 0, errors: 0 })
  await guest.write(0, 64, tag + 1)
  guest.close()
}

it('a host lost during boot is told, and its machine is booted when it is back', { timeout: 300_000 }, async () => {
  await loseDuring(cluster.start('boot'), '"line":"boot vm2')
  const { results } = await cluster.done('boot')
  expect(results[0]!['result']).toMatchObject({ isAdopted: true })
  expect(results[1]!['result']).toMatchObject({ isAdopted: false })
  first = await cluster.guest('vm1')
  run = first.run({ opsPerSec: 50 })
  run.catch(() => undefined)
  await expectSecond(0)
})

it('a host lost during fetch is told, and fetches when it is back', { timeout: 300_000 }, async () => {
  await loseDuring(cluster.start('fetch'), '"host":"host2","kind":"progress"')
  await cluster.done('boot')
  await expectSecond(1)
  const { output } = await cluster.done('fetch')
  expect(output).toContain('fetch host1: has the base')
})

it('a host lost during switch is told, and its machine switches when it is back', { timeout: 300_000 }, async () => {
  await loseDuring(cluster.start('switch'), '"line":"switch vm2')
  await cluster.done('boot')
  await expectSecond(2)
  const { results } = await cluster.done('switch')
  expect(results[0]!['result']).toMatchObject({ wasLocal: true })
  expect((await cluster.done('status')).results).toMatchObject([{ base: 'local' }, { base: 'local' }])
})

it('a host lost during shutdown is told, and its machine is down then', { timeout: 300_000 }, async () => {
  first.stop()
  expect(await run).toMatchObject({ bad: 0, errors: 0 })
  expect(await first.verify()).toMatchObject({ bad: 0, errors: 0 })
  first.close()
  await loseDuring(cluster.start('shutdown'), '"line":"shutdown vm2')
  const { results } = await cluster.done('shutdown')
  expect(results[1]!['result']).toEqual({ how: 'down-already' })
})

it('a host lost during commit is told, and commits everything when it is back', { timeout: 300_000 }, async () => {
  await cluster.done('boot')
  const guests = await Promise.all(cluster.vms.map((vm) => cluster.guest(vm)))
  expect(await guests[1]!.check(0, 64, 3)).toMatchObject({ bad: 0, errors: 0 })
  await guests[1]!.write(1024, 1024, 9)
  const digests = await Promise.all(guests.map(async (guest) => (await guest.verify()).digest))
  await cluster.done('shutdown')
  await loseDuring(cluster.start('commit', '--max-bitrate', '8M'), '"vm":"vm2","host":"host2","kind":"progress"')
  const { results } = await cluster.done('status')
  expect(results[1]!['record']).toMatchObject({ generation: 0, host: 'host2' })
  expect(verifyGuestDisk(cluster.copyOfImage('vm1')).digest).toBe(digests[0])
  await cluster.done('commit', '--vms', 'vm2')
  expect(verifyGuestDisk(cluster.copyOfImage('vm2')).digest).toBe(digests[1])
})

it('a host lost during a later fetch keeps no other from what its image alone has', { timeout: 300_000 }, async () => {
  await cluster.done('evict')
  await cluster.done('boot')
  const { output } = await loseDuring(cluster.start('fetch'), '"host":"host2","kind":"progress"')
  expect(output).toContain('"line":"fetch vm1: done')
  await cluster.done('boot')
  await cluster.done('fetch')
  const { results } = await cluster.done('switch')
  for (const { result } of results) expect(result).toMatchObject({ wasLocal: false })
})
