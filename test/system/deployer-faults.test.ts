import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { QmpClient, queryNodeNames } from '../../src/qmp/index.ts'
import type { StartedCommand } from '../lab/cluster-command.ts'
import { runCommand } from '../lab/command.ts'
import type { GuestConsole } from '../lab/guest-console.ts'
import { guestFiles, verifyGuestDisk } from '../lab/guest.ts'
import { TestCluster } from '../lab/test-cluster.ts'

const MIB = 1024 * 1024

// One machine on one host over files, with a disk of its own, for all tests. Every block of the guest is checked after each fault.
let cluster: TestCluster
let guest: GuestConsole

beforeAll(async () => {
  guestFiles()
  cluster = await TestCluster.up({ storage: 'file', hostCount: 1, sizeBytes: 16 * MIB, diskBytes: 96 * MIB })
})
afterAll(() => cluster.down())

/** The machine runs over the storage, and the template is on the host. */
async function begin(): Promise<void> {
  await cluster.done('create')
  await cluster.done('boot')
  await cluster.done('fetch')
  guest = await cluster.guest('vm1')
}

/** Nothing is left. */
async function end(): Promise<void> {
  guest.close()
  await cluster.run('shutdown', '--timeout', '0.1')
  await cluster.done('destroy', '--discard')
  await cluster.done('evict')
}

const base = (): string => {
  const folder = join(cluster.hosts.hosts[0]!.folder, 'bases')
  return join(
    folder,
    runCommand('ls', [folder])
      .split('\n')
      .find((name) => name.endsWith('.raw'))!,
  )
}

/** Changes a file, and hides it as well as that can be done. */
function tamper(path: string): void {
  const { atime, mtime } = statSync(path)
  chmodSync(path, 0o644)
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.from('tampered'), 0, 8, 12345)
  closeSync(file)
  chmodSync(path, 0o444)
  utimesSync(path, atime, mtime)
}

async function expectChanged(): Promise<void> {
  const { code, output } = await cluster.run('switch')
  expect([code, output.includes('was changed after it was received')]).toEqual(['CLUSTER_FAILED', true])
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

/** Kills a deployer, and lets its lease end. */
async function kill(deployer: StartedCommand): Promise<void> {
  deployer.process.kill('SIGKILL')
  await deployer.result
  await cluster.forgetDeployer()
}

describe('a machine over the storage', () => {
  beforeAll(begin)
  afterAll(end)

  it('a local base tampered with before the switch is refused, and fetched again', async () => {
    tamper(base())
    await expectChanged()
    await expectUnharmed()
    const { output: fetched } = await cluster.done('fetch')
    expect(fetched).not.toContain('"multicastBytes":0')
  })

  it('a smaller local file is refused', async () => {
    truncateSync(base(), MIB)
    const { status, output } = await cluster.run('switch')
    expect(status).toBe(4)
    expect(output).toContain('has 1048576 bytes')
    await expectUnharmed()
    await cluster.done('fetch')
  })

  it('a running block job is refused', async () => {
    const target = join(cluster.folder, 'backup.raw')
    await withQmp(async (qmp) => {
      runCommand('qemu-img', ['create', '-q', '-f', 'raw', target, String(guest.sizeBytes)])
      await qmp.execute('blockdev-add', { driver: 'file', 'node-name': 'backup', filename: target })
      const job = { 'job-id': 'slow', device: 'overlay', target: 'backup', sync: 'full', speed: 1024 }
      await qmp.execute('blockdev-backup', job)
    })
    const { status, output } = await cluster.run('switch')
    expect(status).toBe(4)
    expect(output).toContain('SWITCH_REFUSED')
    await withQmp((qmp) => qmp.execute('block-job-cancel', { device: 'slow', force: true }))
    await expectUnharmed()
  })

  it('a writer of QEMU on the base is refused, and the machine lives', async () => {
    const writer = spawn('qemu-io', ['-f', 'raw', base()], { stdio: ['pipe', 'pipe', 'inherit'] })
    writer.stdin.write('write -P 0 0 0\n')
    await once(writer.stdout, 'data')
    const { status, output } = await cluster.run('switch')
    writer.kill()
    await once(writer, 'exit')
    expect(status).toBe(4)
    expect(output).toMatch(/lock/)
    await expectUnharmed()
  })

  it('an image that was deleted is told; made anew, the machine goes on with all that it had', async () => {
    await guest.write(7, 1, 70)
    cluster.storage.deleteImage('vm1')
    const { output } = await cluster.run('switch')
    expect(output).toContain('vm1: it has no image')
    await expectUnharmed()
    await cluster.done('create')
    const { output: commit } = await cluster.run('commit')
    expect(commit).toContain('boot it first')
    const { results } = await cluster.done('boot')
    expect(results[0]!['result']).toMatchObject({ isAdopted: true })
    expect(await guest.check(7, 1, 70)).toMatchObject({ bad: 0, errors: 0 })
  })

  it('a storage that hangs before the switch is cut off, without an error in the guest', async () => {
    const run = guest.run({ opsPerSec: 200 })
    await guest.nextReport(({ reads }) => reads > 0)
    cluster.storage.pause()
    try {
      const { results } = await cluster.done('switch')
      expect(results[0]!['result']).toMatchObject({ wasYanked: true, connectionsAfter: 0 })
      await guest.nextReport(({ reads }) => reads > 0)
    } finally {
      cluster.storage.resume()
    }
    guest.stop()
    expect(await run).toMatchObject({ bad: 0, errors: 0 })
    await expectUnharmed()
  })
})

describe('a host without the template', () => {
  afterEach(end)

  it('a disk that is full during the fetch, and then for the overlay, is told; with room again all goes on', async () => {
    await cluster.done('create')
    await cluster.done('boot')
    guest = await cluster.guest('vm1')
    const { folder } = cluster.hosts.hosts[0]!
    const ballast = join(folder, 'ballast')
    const fill = (leftBytes: number): void => {
      const { bavail, bsize } = statfsSync(folder)
      runCommand('fallocate', ['-l', String(bavail * bsize - leftBytes), ballast])
    }
    fill(6 * MIB)
    const { status, output } = await cluster.run('fetch')
    expect([status, output.includes('TARGET_FULL')]).toEqual([4, true])
    await expectUnharmed()
    await cluster.done('evict')
    rmSync(ballast)
    fill(MIB)
    const writing = guest.write(0, 2048, 5)
    await cluster.stateOf('vm1', 'io-error')
    rmSync(ballast)
    await cluster.done('boot')
    expect(await writing).toMatchObject({ bad: 0, errors: 0 })
    await cluster.done('fetch')
    const { results } = await cluster.done('switch')
    expect(results[0]!['result']).toMatchObject({ connectionsAfter: 0 })
    await expectUnharmed()
    expect(await guest.check(0, 2048, 5)).toMatchObject({ bad: 0, errors: 0 })
  })
})

describe('one machine after another', () => {
  beforeEach(begin)
  afterEach(end)

  it('a switch that fails leaves no node behind, and takes none that was left', async () => {
    const obstacle = join(cluster.vmFolder('vm1'), 'vm.json.new')
    mkdirSync(obstacle)
    const { status, output } = await cluster.run('switch')
    rmdirSync(obstacle)
    expect([status, output.includes('cannot write ')]).toEqual([4, true])
    const stale = join(cluster.folder, 'stale.raw')
    writeFileSync(stale, Buffer.alloc(guest.sizeBytes, 'stale'))
    await withQmp(async (qmp) => {
      expect(await queryNodeNames(qmp)).not.toContain('local')
      const file = { driver: 'file', filename: stale, 'read-only': true }
      await qmp.execute('blockdev-add', { driver: 'raw', 'node-name': 'local', 'read-only': true, file })
    })
    const { results } = await cluster.done('switch')
    expect(results[0]!['result']).toMatchObject({ wasLocal: false, connectionsAfter: 0 })
    await expectUnharmed()
  })

  /** Boots the machine, and expects it to be over what its host has. */
  async function bootOverLocal(): Promise<void> {
    const { results: booted } = await cluster.done('boot')
    expect(booted[0]!['result']).toMatchObject({ isAdopted: false, base: 'local' })
    const { output } = await cluster.done('fetch')
    expect(output).toContain('"multicastBytes":0')
    const { results } = await cluster.done('switch')
    expect(results[0]!['result']).toMatchObject({ wasLocal: true, connectionsBefore: 0, connectionsAfter: 0 })
    guest = await cluster.guest('vm1')
  }

  it('a new machine boots over the template that its host has, and commits', async () => {
    await cluster.done('shutdown')
    await cluster.done('destroy', '--discard')
    await cluster.done('create')
    await bootOverLocal()
    await guest.write(100, 64, 5)
    const { digest } = await guest.verify()
    await cluster.done('shutdown')
    // Whoever opens the overlay by hand finds all of the disk.
    const overlay = join(cluster.vmFolder('vm1'), 'overlay.qcow2')
    const copy = join(cluster.folder, 'by-hand.raw')
    runCommand('qemu-img', ['convert', '-O', 'raw', overlay, copy])
    expect(verifyGuestDisk(copy).digest).toBe(digest)
    const { results } = await cluster.done('commit')
    expect(results[0]!['result']).toMatchObject({ by: 'bitmap', generation: 1 })
    expect(verifyGuestDisk(cluster.copyOfImage('vm1')).digest).toBe(digest)
  })

  it('what a machine alone has is refused when it was changed, fetched again, and booted over', async () => {
    await guest.write(100, 64, 5)
    const { digest } = await guest.verify()
    await cluster.done('shutdown')
    await cluster.done('commit')
    const { results } = await cluster.done('boot')
    expect(results[0]!['result']).toMatchObject({ base: 'remote' })
    guest = await cluster.guest('vm1')
    await cluster.done('fetch')
    const unique = join(cluster.vmFolder('vm1'), 'unique-1.qcow2')
    expect(statSync(unique).mode & 0o777).toBe(0o444)
    tamper(unique)
    await expectChanged()
    await cluster.done('fetch')
    await cluster.done('switch')
    expect((await guest.verify()).digest).toBe(digest)
    await cluster.done('shutdown')
    await bootOverLocal()
    expect((await guest.verify()).digest).toBe(digest)
    await cluster.done('shutdown')
    tamper(unique)
    const { results: again } = await cluster.done('boot')
    expect(again[0]!['result']).toMatchObject({ base: 'remote' })
  })

  it('a guest that crashes before the commit loses nothing that it has flushed', async () => {
    await guest.write(100, 64, 5)
    await cluster.done('switch')
    await guest.write(3000, 64, 6)
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
    await kill(killed)
    const [view] = (await cluster.done('status')).results
    expect(view!['record']).toMatchObject({ generation: 0, committing: 1 })
    const refused = await cluster.run('boot')
    expect(refused.output).toContain('a commit of it was interrupted')
    await cluster.done('commit')
    expect(verifyGuestDisk(cluster.copyOfImage('vm1')).digest).toBe(digest)
  })

  it('a switch goes on when its lease is lost, here to another deployer', async () => {
    const { digest } = await guest.verify()
    const qemu = Number(readFileSync(join(cluster.vmFolder('vm1'), 'qemu.pid'), 'utf8'))
    process.kill(qemu, 'SIGSTOP')
    const change = cluster.start('switch')
    try {
      await change.said('"line":"switch vm1 on')
      cluster.storage.endLease()
      expect(await cluster.run('commit')).toMatchObject({ code: 'CLUSTER_FAILED' })
      await change.said('the lease was lost; it goes on without')
    } finally {
      process.kill(qemu, 'SIGCONT')
    }
    const { status, results } = await change.result
    expect(status).toBe(0)
    expect(results[0]!['result']).toMatchObject({ wasLocal: false, connectionsAfter: 0 })
    expect((await guest.verify()).digest).toBe(digest)
  })

  it('a second deployer is refused while the first works', async () => {
    const first = cluster.start('shutdown', '--timeout', '5')
    await first.said('"line":"shutdown vm1')
    const second = await cluster.run('commit')
    expect([second.status, second.code]).toEqual([8, 'CLUSTER_BUSY'])
    expect(second.message).toMatch(/must renew its lease within \d+ s/)
    await first.result
  })
})

// One life, in this order: each operation is killed when it has begun, and called again.
describe('a deployer that is killed', () => {
  const killIn = async (command: string, ...args: readonly string[]): Promise<void> => {
    const killed = cluster.start(command, ...args)
    await killed.said(`"line":"${command} `)
    await kill(killed)
    await cluster.done(command, ...args)
  }

  it('in create is followed by another', () => killIn('create'))

  it('by Ctrl-C says so, and not that the program is at fault', async () => {
    const stopped = cluster.start('boot')
    await stopped.said('"line":"boot ')
    stopped.process.kill('SIGINT')
    expect(await stopped.result).toMatchObject({ status: 130, code: 'INTERRUPTED', message: 'boot was interrupted' })
  })

  it('in boot is followed by another', async () => {
    await killIn('boot')
    guest = await cluster.guest('vm1')
    await guest.write(10, 100, 3)
  })

  it('in fetch is followed by another', () => killIn('fetch'))

  it('in switch is followed by another', async () => {
    await killIn('switch')
    expect((await cluster.done('status')).results[0]).toMatchObject({ state: 'running', base: 'local' })
    expect(await guest.verify()).toMatchObject({ bad: 0, errors: 0 })
  })

  it('in shutdown is followed by another', async () => {
    const { digest } = await guest.verify()
    await killIn('shutdown')
    await cluster.done('commit')
    expect(verifyGuestDisk(cluster.copyOfImage('vm1')).digest).toBe(digest)
  })

  it('in commit is followed by another', async () => {
    await cluster.done('boot')
    guest = await cluster.guest('vm1')
    await guest.write(200, 100, 4)
    const { digest } = await guest.verify()
    await cluster.done('shutdown')
    await killIn('commit')
    expect(verifyGuestDisk(cluster.copyOfImage('vm1')).digest).toBe(digest)
  })

  it('in destroy is followed by another', async () => {
    await killIn('destroy')
    const [view] = (await cluster.done('status')).results
    expect(view).toMatchObject({ state: 'down' })
    expect(view).not.toHaveProperty('record')
  })
})
