import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, closeSync, openSync, readFileSync, statSync, truncateSync, utimesSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { QmpClient, queryStatus, startBackup } from '../../src/qmp/index.ts'
import { runCommand } from '../lab/command.ts'
import type { GuestConsole } from '../lab/guest-console.ts'
import { guestFiles, verifyGuestDisk } from '../lab/guest.ts'
import { TestCluster } from '../lab/test-cluster.ts'

// One machine on one host over files, for all tests: each begins with it running over the storage, the template on the host.
let cluster: TestCluster
let guest: GuestConsole

beforeAll(async () => {
  guestFiles()
  cluster = await TestCluster.up({ storage: 'file', hostCount: 1 })
})
afterAll(() => cluster.down())

beforeEach(async () => {
  await cluster.done('create')
  await cluster.done('boot')
  await cluster.done('fetch')
  guest = await cluster.guest('vm1')
})
afterEach(async () => {
  guest.close()
  await cluster.run('shutdown', '--timeout', '1')
  await cluster.done('destroy', '--discard')
  await cluster.done('evict')
})

const base = (): string => {
  const folder = join(cluster.hosts.hosts[0]!.folder, 'bases')
  return join(
    folder,
    runCommand('ls', [folder])
      .split('\n')
      .find((name) => name.endsWith('.raw'))!,
  )
}

async function withQmp<Result>(work: (qmp: QmpClient) => Promise<Result>): Promise<Result> {
  const qmp = await QmpClient.connect(join(cluster.vmFolder('vm1'), 'qmp.sock'))
  try {
    return await work(qmp)
  } finally {
    qmp.close()
  }
}

/** The machine is where it was: over the storage, running, with a right disk. */
async function expectUnharmed(): Promise<void> {
  const { results } = await cluster.done('status')
  expect(results[0]).toMatchObject({ state: 'running' })
  expect(await guest.verify()).toMatchObject({ bad: 0, errors: 0 })
}

/** The switch does what it should after all. */
async function expectSwitches(): Promise<void> {
  const { results } = await cluster.done('switch')
  expect(results[0]!['result']).toMatchObject({ connectionsAfter: 0 })
  expect(await guest.verify()).toMatchObject({ bad: 0, errors: 0 })
}

it('a local base tampered with before the switch is refused, and fetched again', async () => {
  const path = base()
  const { atime, mtime } = statSync(path)
  chmodSync(path, 0o644)
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.from('tampered'), 0, 8, 12345)
  closeSync(file)
  chmodSync(path, 0o444)
  utimesSync(path, atime, mtime)
  const { code, output } = await cluster.run('switch')
  expect([code, output.includes('was changed after it was received')]).toEqual(['CLUSTER_FAILED', true])
  await expectUnharmed()
  const { output: fetched } = await cluster.done('fetch')
  expect(fetched).not.toContain('"multicastBytes":0')
  await expectSwitches()
})

it('a smaller local file is refused', async () => {
  truncateSync(base(), 1024 * 1024)
  const { status, output } = await cluster.run('switch')
  expect(status).toBe(4)
  expect(output).toContain('has 1048576 bytes')
  await expectUnharmed()
})

it('a running block job is refused', async () => {
  const target = join(cluster.folder, 'backup.raw')
  await withQmp(async (qmp) => {
    runCommand('qemu-img', ['create', '-q', '-f', 'raw', target, String(guest.sizeBytes)])
    await qmp.execute('blockdev-add', { driver: 'file', 'node-name': 'backup', filename: target })
    await startBackup(qmp, { 'job-id': 'slow', device: 'overlay', target: 'backup', sync: 'full', speed: 1024 })
  })
  const { status, output } = await cluster.run('switch')
  expect(status).toBe(4)
  expect(output).toContain('SWITCH_REFUSED')
  await withQmp((qmp) => qmp.execute('block-job-cancel', { device: 'slow', force: true }))
  await expectUnharmed()
  await expectSwitches()
})

it('a writer of QEMU on the base is refused, and the machine lives', async () => {
  chmodSync(base(), 0o644)
  // The time of change is another now: what is received anew is not held by anybody.
  await cluster.done('fetch')
  const path = base()
  const writer = spawn('qemu-io', ['-f', 'raw', path], { stdio: ['pipe', 'pipe', 'inherit'] })
  writer.stdin.write('write -P 0 0 0\n')
  await once(writer.stdout, 'data')
  const { status, output } = await cluster.run('switch')
  writer.kill()
  await once(writer, 'exit')
  expect(status).toBe(4)
  expect(output).toMatch(/lock/)
  await expectUnharmed()
})

it('a storage that hangs before the switch is cut off, without an error in the guest', async () => {
  const run = guest.run({ opsPerSec: 200 })
  await guest.nextReport(({ reads }) => reads > 0)
  cluster.pauseStorage()
  try {
    const { results } = await cluster.done('switch')
    expect(results[0]!['result']).toMatchObject({ wasYanked: true, connectionsAfter: 0 })
    await guest.nextReport(({ reads }) => reads > 0)
  } finally {
    cluster.resumeStorage()
  }
  guest.stop()
  expect(await run).toMatchObject({ bad: 0, errors: 0 })
  await expectUnharmed()
})

it('a guest that crashes before the commit loses nothing that it has flushed', async () => {
  await guest.write(100, 64, 5)
  await cluster.done('switch')
  await guest.write(8000, 64, 6)
  const { digest } = await guest.verify()
  process.kill(Number(readFileSync(join(cluster.vmFolder('vm1'), 'qemu.pid'), 'utf8')), 'SIGKILL')
  await guest.closed
  const { results } = await cluster.done('commit')
  expect(results[0]!['result']).toMatchObject({ by: 'overlay', generation: 1 })
  expect(verifyGuestDisk(cluster.copyOfImage('vm1')).digest).toBe(digest)
})

it('a commit that is interrupted is rolled back and done again', async () => {
  await guest.write(0, 4096, 9)
  const { digest } = await guest.verify()
  await cluster.done('shutdown')
  const killed = cluster.start('commit', '--max-bitrate', '8M')
  await killed.said('"percent"')
  killed.process.kill('SIGKILL')
  await killed.result
  await cluster.waitForLease()
  const [view] = (await cluster.done('status')).results
  expect(view!['record']).toMatchObject({ generation: 0, committing: 1 })
  const refused = await cluster.run('boot')
  expect(refused.output).toContain('a commit of it was interrupted')
  await cluster.done('commit')
  expect(verifyGuestDisk(cluster.copyOfImage('vm1')).digest).toBe(digest)
})

it('a second deployer is refused while the first works', async () => {
  const first = cluster.start('shutdown', '--timeout', '5')
  await first.said('"line":"shutdown vm1')
  const second = await cluster.run('commit')
  expect([second.status, second.code]).toEqual([8, 'CLUSTER_BUSY'])
  expect(second.message).toMatch(/must renew its lease within \d+ s/)
  await first.result
})

it.each(['boot', 'fetch', 'switch', 'shutdown'])('a deployer killed in %s is followed by another', async (command) => {
  const { digest } = await guest.verify()
  if (command === 'boot') await cluster.done('shutdown')
  if (command === 'fetch') await cluster.done('evict')
  const killed = cluster.start(command)
  await killed.said(`"line":"${command}`)
  killed.process.kill('SIGKILL')
  await killed.result
  await cluster.waitForLease()
  await cluster.done(command)
  if (command === 'shutdown') return
  await cluster.done('boot')
  await cluster.done('fetch')
  await cluster.done('switch')
  guest.close()
  guest = await cluster.guest('vm1')
  expect(await guest.verify()).toMatchObject({ bad: 0, errors: 0, digest })
  expect(await withQmp(queryStatus)).toMatchObject({ isRunning: true })
})
