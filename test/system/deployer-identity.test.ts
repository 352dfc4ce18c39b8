import { copyFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { verifyGuestDisk } from '../lab/guest.ts'
import { TestCluster } from '../lab/test-cluster.ts'

// One machine, two hosts, one life for all tests, in this order. What the description says changes under it, and a host is lost for good.
let cluster: TestCluster

beforeAll(async () => {
  cluster = await TestCluster.up({ storage: 'file', hostCount: 2, vmCount: 1, sizeBytes: 16 * 1024 * 1024 })
  await cluster.done('create')
  await cluster.done('boot')
})
afterAll(() => cluster.down())

/** It fails for the machine, with these words. */
async function refused(command: string, args: readonly string[], ...texts: readonly string[]): Promise<void> {
  const { status, output } = await cluster.run(command, ...args)
  expect([command, status]).toEqual([command, 4])
  for (const text of texts) expect(output).toContain(text)
}

/** Its disk is right, and has what was written with that tag. */
async function expectGuest(hostIndex: number, tag: number): Promise<void> {
  const guest = await cluster.guest('vm1', hostIndex)
  expect(await guest.check(0, 64, tag)).toMatchObject({ bad: 0, errors: 0 })
  expect(await guest.verify()).toMatchObject({ bad: 0, errors: 0 })
  guest.close()
}

it('a machine is worked at on the host that has its changes, wherever the description puts it', async () => {
  const guest = await cluster.guest('vm1')
  await guest.write(0, 64, 1)
  const { digest } = await guest.verify()
  cluster.place(1)
  const { results } = await cluster.done('status')
  expect(results[0]).toMatchObject({ host: 'host1', state: 'running' })
  await refused('boot', [], 'its changes are on host1 and not committed')
  await refused('destroy', ['--discard'], 'it runs; shut it down first')
  await cluster.done('fetch')
  const switched = await cluster.done('switch')
  expect(switched.results[0]).toMatchObject({ host: 'host1', result: { connectionsAfter: 0 } })
  const down = await cluster.done('shutdown')
  expect(down.results[0]!['result']).toMatchObject({ how: 'powered-down' })
  await refused('destroy', [], 'has changes that are not committed')
  const committed = await cluster.done('commit')
  expect(committed.results[0]).toMatchObject({ host: 'host1', result: { generation: 1 } })
  expect(verifyGuestDisk(cluster.copyOfImage('vm1')).digest).toBe(digest)
  await cluster.done('boot')
  await expectGuest(1, 1)
})

it('a commit of a machine that runs over its image is refused, and cuts it off from nothing', async () => {
  const guest = await cluster.guest('vm1', 1)
  await guest.write(0, 64, 2)
  await refused('commit', [], 'cannot commit vm1: it runs; shut it down first')
  const { results } = await cluster.done('status')
  expect(results[0]!['record']).not.toHaveProperty('committing')
  expect(await guest.verify()).toMatchObject({ bad: 0, errors: 0 })
  guest.close()
})

it('a machine is not abandoned on a host that has it', async () => {
  await refused('abandon', ['--vms', 'vm1'], 'it runs; shut it down first')
  await cluster.done('shutdown')
  await refused('abandon', ['--vms', 'vm1'], 'has changes that are not committed')
})

it('a machine whose host is lost is abandoned, and boots elsewhere from its last commit', async () => {
  const bringBack = cluster.loseHost(1)
  try {
    cluster.place(0)
    await refused('boot', [], 'its changes are on host2 and not committed')
    const { results, output } = await cluster.done('abandon', '--vms', 'vm1')
    expect(results[0]!['result']).toEqual({ isHostLost: true })
    expect(output).toContain('host2 is taken for lost')
    await cluster.done('boot')
    await expectGuest(0, 1)
  } finally {
    await bringBack()
  }
})

it('a machine is not brought onto another template than its own', async () => {
  const path = join(cluster.folder, 'template.raw')
  copyFileSync(path, `${path}.new`)
  renameSync(path, `${path}.old`)
  renameSync(`${path}.new`, path)
  const text = 'its image was made of another template'
  for (const command of ['create', 'boot', 'switch', 'commit']) await refused(command, [], text)
  await refused('fetch', [], text)
  await expectGuest(0, 1)
  renameSync(`${path}.old`, path)
  await cluster.done('fetch')
  const { results } = await cluster.done('switch')
  expect(results[0]!['result']).toMatchObject({ connectionsAfter: 0 })
  await expectGuest(0, 1)
})
