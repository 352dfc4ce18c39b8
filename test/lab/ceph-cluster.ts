import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { COMMAND_ENVIRONMENT, missingPackages, runCommand } from './command.ts'

export interface CephOptions {
  /** Where the daemons listen: an address of the host they run on. Default 127.0.0.1. */
  readonly address?: string
  /** A command that they are started through, such as `ip netns exec NAME`. Default none. */
  readonly through?: readonly string[]
}

const PACKAGES = {
  'ceph-mon': ['ceph-mon'],
  'ceph-osd': ['ceph-osd'],
  'ceph-common': ['ceph', 'rbd', 'ceph-authtool'],
  'ceph-base': ['monmaptool'],
  'util-linux': ['setpriv'],
}

/** How long a command of Ceph may take while the cluster starts, seconds. */
const START_TIMEOUT_SECONDS = 60

/** What an OSD may hold, bytes: the length of a sparse file. What images that were removed held is free again only some time later. */
const OSD_BYTES = 64 * 1024 ** 3

/**
 * A real Ceph cluster of one monitor and one OSD, with the pool `rbd`, in a folder of its own: up in two seconds, without systemd or
 * cephadm. Needs no root. Its daemons end with this process, however that ends.
 */
export class CephCluster {
  /** Its configuration: what `CEPH_CONF` is to name for `rbd`, QEMU and others. */
  readonly confPath: string
  readonly #folder: string
  readonly #through: readonly string[]
  readonly #daemons: ChildProcess[] = []

  private constructor(folder: string, through: readonly string[]) {
    this.#folder = folder
    this.#through = through
    this.confPath = join(folder, 'ceph.conf')
  }

  /** @throws Error that names the missing packages, or what a daemon said when it does not start */
  static async up({ address = '127.0.0.1', through = [] }: CephOptions = {}): Promise<CephCluster> {
    const missing = missingPackages(PACKAGES)
    if (missing.length > 0) throw new Error(`A Ceph cluster needs: ${missing.join(', ')}`)
    // Short, as the path of a Unix socket in it has at most 107 bytes.
    const cluster = new CephCluster(mkdtempSync(join(tmpdir(), 'skilfish-ceph-')), through)
    try {
      cluster.#make(address, through.length === 0 ? await freePort(address) : 6789)
      cluster.#start('mon', ['ceph-mon', '-i', 'a'])
      cluster.#ceph('osd', 'new', cluster.#read('osd/uuid'), '0')
      cluster.#start('osd', [
        'ceph-osd',
        '-i',
        '0',
        '--no-mon-config',
        '--keyring',
        join(cluster.#folder, 'osd/keyring'),
      ])
      cluster.#ceph('osd', 'pool', 'create', 'rbd', '8')
      // Waits until the OSD is up. An operation sent before that is tried again after this interval, by default 5 s.
      cluster.rbd('--objecter-tick-interval', '0.25', 'pool', 'init', 'rbd')
      return cluster
    } catch (error) {
      const said = cluster.#daemonOutput()
      await cluster.down()
      throw new Error(`The Ceph cluster does not start\n${said}`, { cause: error })
    }
  }

  /** Runs `rbd` to its end. @returns its standard output */
  rbd(...args: readonly string[]): string {
    return this.#run('rbd', ['--conf', this.confPath, ...args])
  }

  /** Runs `rbd` to its end with that standard input. @returns its standard output, up to 256 MiB */
  rbdPipe(args: readonly string[], input: Uint8Array = new Uint8Array(0)): Buffer {
    const { status, stdout, stderr } = spawnSync('rbd', ['--conf', this.confPath, ...args], {
      ...{ input, maxBuffer: 256 * 1024 ** 2, env: COMMAND_ENVIRONMENT },
    })
    if (status !== 0) throw new Error(`rbd ${args.join(' ')} failed (${status})\n${stderr.toString()}`)
    return stdout
  }

  /** What the OSD has given to clients since it started, bytes: its own counter. */
  readBytes(): number {
    const said = this.#run('ceph', ['--admin-daemon', join(this.#folder, 'run/osd.asok'), 'perf', 'dump', 'osd'])
    return (JSON.parse(said) as { readonly osd: { readonly op_r_out_bytes: number } }).osd.op_r_out_bytes
  }

  /** Stops all daemons where they are, as if the network had gone. */
  pause(): void {
    for (const daemon of this.#daemons) daemon.kill('SIGSTOP')
  }

  /** Lets them go on. */
  resume(): void {
    for (const daemon of this.#daemons) daemon.kill('SIGCONT')
  }

  /** Ends the daemons at once and removes all data. */
  async down(): Promise<void> {
    const ended = this.#daemons.map((daemon) => once(daemon, 'exit'))
    for (const daemon of this.#daemons.splice(0)) daemon.kill('SIGKILL')
    await Promise.all(ended)
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #make(address: string, port: number): void {
    const path = (name: string): string => join(this.#folder, name)
    for (const name of ['mon', 'osd', 'run']) mkdirSync(path(name))
    const fsid = randomUUID()
    const osdId = randomUUID()
    writeFileSync(this.confPath, configuration({ folder: this.#folder, fsid, address, port }))
    writeFileSync(path('osd/uuid'), osdId)
    // All keys go into the monitor's first keyring: no call of `ceph auth` is needed.
    const makeKey = (file: string, name: string, ...caps: readonly string[]): void => {
      this.#run('ceph-authtool', ['--create-keyring', path(file), '--gen-key', '-n', name, ...caps])
    }
    makeKey('keys', 'mon.', '--cap', 'mon', 'allow *')
    makeKey('keyring', 'client.admin', '--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *', '--cap', 'mgr', 'allow *')
    makeKey('osd/keyring', 'osd.0', '--cap', 'mon', 'allow profile osd', '--cap', 'osd', 'allow *')
    for (const file of ['keyring', 'osd/keyring'])
      this.#run('ceph-authtool', [path('keys'), '--import-keyring', path(file)])
    this.#run('monmaptool', ['--create', '--fsid', fsid, '--addv', 'a', `[v2:${address}:${port}]`, path('monmap')])
    const conf = ['-c', this.confPath]
    this.#run('ceph-mon', [...conf, '-i', 'a', '--mkfs', '--monmap', path('monmap'), '--keyring', path('keys')])
    copyFileSync(path('keys'), path('mon/keyring'))
    // Without --no-mon-config it asks the monitor, which does not run yet, for 300 s.
    const make = ['-i', '0', '--no-mon-config', '--mkfs', '--osd-uuid', osdId, '--keyring', path('osd/keyring')]
    this.#run('ceph-osd', [...conf, ...make])
  }

  #start(name: string, [command, ...args]: readonly [string, ...string[]]): void {
    const output = openSync(join(this.#folder, `${name}.out`), 'a')
    const whole = [...this.#through, 'setpriv', '--pdeathsig', 'KILL', command, '-f', '-c', this.confPath, ...args]
    this.#daemons.push(
      spawn(whole[0]!, whole.slice(1), { stdio: ['ignore', output, output], env: COMMAND_ENVIRONMENT }),
    )
    closeSync(output)
  }

  #ceph(...args: readonly string[]): void {
    this.#run('ceph', ['--conf', this.confPath, '--connect-timeout', `${START_TIMEOUT_SECONDS}`, ...args])
  }

  /** A command that hangs is ended. */
  #run(command: string, args: readonly string[]): string {
    const whole = [...this.#through, 'timeout', '--kill-after=1', `${START_TIMEOUT_SECONDS}`, command, ...args]
    return runCommand(whole[0]!, whole.slice(1))
  }

  #read(name: string): string {
    return readFileSync(join(this.#folder, name), 'utf8')
  }

  #daemonOutput(): string {
    return ['mon.out', 'osd.out']
      .map((name) => {
        try {
          return this.#read(name).slice(-2000)
        } catch {
          return ''
        }
      })
      .join('')
  }
}

async function freePort(address: string): Promise<number> {
  const server = createServer().listen(0, address)
  await once(server, 'listening')
  const place = server.address()
  server.close()
  await once(server, 'close')
  if (place === null || typeof place === 'string') throw new Error(`No port of ${address} is free`)
  return place.port
}

interface Place {
  readonly folder: string
  readonly fsid: string
  readonly address: string
  readonly port: number
}

/**
 * One copy of everything on one OSD, and none of the waits that a cluster of many hosts needs: those of the monitor between changes of
 * its map (1 s by default) and of BlueStore's device when it closes (0.25 s each time) are most of what a start takes.
 * An OSD may serve reads for four fifths of its heartbeats' grace since they were answered; one that was stopped for longer, and that no
 * other OSD answers, serves none any more: hence the hour.
 * New clusters of 16.2 make clones that need no protected snapshot only when they take no clients older than mimic.
 */
const configuration = ({ folder, fsid, address, port }: Place): string => `[global]
fsid = ${fsid}
mon host = [v2:${address}:${port}]
public addr = ${address}
cluster addr = ${address}
ms bind msgr1 = false
auth allow insecure global id reclaim = false
keyring = ${folder}/keyring
run dir = ${folder}/run
crash dir = ${folder}/run
log file = ${folder}/$name.log
log to stderr = false
err to stderr = true
mon cluster log file = ${folder}/cluster.log
heartbeat file =
osd pool default size = 1
osd pool default min size = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd heartbeat grace = 3600
[mon]
mon data = ${folder}/mon
admin socket = ${folder}/run/mon.asok
mon allow pool delete = true
mon allow pool size one = true
mon osd initial require min compat client = mimic
mon data avail crit = 1
mon data avail warn = 2
mon mgr mkfs grace = 1000000000
paxos propose interval = 0.05
paxos min wait = 0.01
[osd]
osd data = ${folder}/osd
admin socket = ${folder}/run/osd.asok
osd objectstore = bluestore
bluestore block create = true
bluestore block size = ${OSD_BYTES}
bluestore block db create = false
bluestore block wal create = false
bluestore fsck on mkfs = false
bluestore fsck on mount = false
bdev aio poll ms = 5
osd memory target = 1G
osd failsafe full ratio = .995
[client]
admin socket =
log file =
client mount timeout = 30
`
