import { readdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CommandRun, StartedCommand } from '../lab/cluster-command.ts'
import type { GuestConsole } from '../lab/guest-console.ts'
import { guestFiles, verifyGuestDisk } from '../lab/guest.ts'
import { TestCluster } from '../lab/test-cluster.ts'

const MIB = 1024 * 1024

// One life of two machines on two hosts over files, in this order: each command gets Ctrl-C in the middle, and is called again at once.
let cluster: TestCluster
let guests: readonly GuestConsole[]
const digests = new Map<string, string>()

beforeAll(async () => {
  guestFiles()
  cluster = await TestCluster.up({ storage: 'file', hostCount: 2, sizeBytes: 16 * MIB })
})
afterAll(() => cluster.down())

async function interrupt(started: StartedCommand): Promise<CommandRun> {
  started.process.kill('SIGINT')
  return started.result
}

/** It ended by Ctrl-C, and nothing is left of it. */
function expectInterrupted(run: CommandRun, command: string): void {
  expect(run).toMatchObject({ status: 130, code: 'INTERRUPTED', message: `${command} was interrupted` })
  expect(cluster.stepCount()).toBe(0)
}

async function connect(): Promise<void> {
  guests = await Promise.all(cluster.vms.map((vm) => cluster.guest(vm)))
}

async function expectUnharmed(): Promise<void> {
  for (const { state } of (await cluster.done('status')).results) expect(state).toBe('running')
  for (const [index, guest] of guests.entries()) {
    expect(await guest.verify()).toMatchObject({ bad: 0, errors: 0, digest: digests.get(cluster.vms[index]!) })
  }
}

describe('Ctrl-C', () => {
  it('while machines boot: the next boot completes', async () => {
    await cluster.done('create')
    const boot = cluster.start('boot')
    await boot.said('"line":"boot ')
    expectInterrupted(await interrupt(boot), 'boot')
    await cluster.done('boot')
    await connect()
    for (const [index, guest] of guests.entries()) {
      // More than a piece of a commit for the second machine, less for the first.
      await guest.write(0, index === 0 ? 64 : 1024, 7 + index)
      digests.set(cluster.vms[index]!, (await guest.verify()).digest)
    }
  })

  it('while the template comes: no host goes on to receive, and the next fetch completes', async () => {
    const fetch = cluster.start('fetch')
    await fetch.said('"line":"fetch host1"')
    expectInterrupted(await interrupt(fetch), 'fetch')
    await cluster.done('fetch')
    await expectUnharmed()
  })

  it('while a machine switches: it runs on, and the next switch completes', async () => {
    // One that waits for a storage that hangs is in the middle of it.
    cluster.storage.pause()
    try {
      const change = cluster.start('switch')
      await cluster.baseOf('vm1', 'switching')
      expectInterrupted(await interrupt(change), 'switch')
    } finally {
      cluster.storage.resume()
    }
    await expectUnharmed()
    const { results } = await cluster.done('switch')
    for (const { result } of results) expect(result).toMatchObject({ connectionsAfter: 0 })
    for (const { base } of (await cluster.done('status')).results) expect(base).toBe('local')
    await expectUnharmed()
  })

  it('while machines shut down: the next shutdown completes', async () => {
    const shutdown = cluster.start('shutdown')
    await shutdown.said('"line":"shutdown ')
    expectInterrupted(await interrupt(shutdown), 'shutdown')
    await cluster.done('shutdown')
    for (const guest of guests) guest.close()
  })

  it('while a machine commits: its image is rolled back, and the next commit has all of it', async () => {
    // The second piece may be written after more than a minute: whoever waited for that would not end soon.
    const commit = cluster.start('commit', '--at-once', '1', '--max-bitrate', '100k')
    await commit.said('"line":"commit vm2 on')
    await commit.said('"vm":"vm2"')
    expectInterrupted(await interrupt(commit), 'commit')
    const [first, second] = (await cluster.done('status')).results
    expect(first!['record']).toMatchObject({ generation: 1 })
    expect(second!['record']).toMatchObject({ generation: 0 })
    expect(second!['record']).not.toHaveProperty('committing')
    // The step ended in order: it has taken its sockets away.
    expect(readdirSync(cluster.vmFolder('vm2')).filter((name) => name.startsWith('d-'))).toEqual([])
    const { results } = await cluster.done('commit')
    expect(results.map(({ result }) => (result as { generation: number }).generation)).toEqual([1, 1])
    for (const vm of cluster.vms) expect(verifyGuestDisk(cluster.copyOfImage(vm)).digest).toBe(digests.get(vm))
  })

  it('while up fetches: machines run, and the next up completes', async () => {
    await cluster.done('destroy', '--discard')
    await cluster.done('evict')
    digests.clear()
    const up = cluster.start('up')
    await up.said('"line":"fetch host1"')
    expectInterrupted(await interrupt(up), 'up')
    await connect()
    for (const [index, guest] of guests.entries()) digests.set(cluster.vms[index]!, (await guest.verify()).digest)
    const { results } = await cluster.done('up')
    for (const { base } of results) expect(base).toBe('local')
    await expectUnharmed()
  })
})
