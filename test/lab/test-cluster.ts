import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { QmpClient, queryStatus } from '../../src/qmp/index.ts'
import { CephCluster } from './ceph-cluster.ts'
import { COMMAND_ENVIRONMENT, missingPackages, runCommand } from './command.ts'
import { DeployerHosts } from './deployer-hosts.ts'
import { GuestConsole } from './guest-console.ts'
import { guestFiles, writeGuestDisk } from './guest.ts'
import { startSlurm } from './slurm-hosts.ts'
import { startSsh } from './ssh-hosts.ts'

const COMMAND = join(import.meta.dirname, '../../dist/cli/skilfish.js')

const PACKAGES = {
  'qemu-system-x86': ['qemu-system-x86_64'],
  'qemu-system-common': ['qemu-storage-daemon'],
  'qemu-utils': ['qemu-img', 'qemu-io'],
}

/** How long a condition is waited for, milliseconds. */
const WAIT_MS = 60_000

/** What a run of `skilfish` came to. */
export interface CommandRun {
  readonly status: number
  /** What its line of type `result` holds; of an error, what was reached all the same. */
  readonly results: readonly Readonly<Record<string, unknown>>[]
  /** Of its line of type `error`. */
  readonly message: string
  readonly code: string
  readonly output: string
}

/** A `skilfish` under way. */
export interface StartedCommand {
  readonly process: ChildProcess
  /** Waits until it has said a text on standard output. */
  readonly said: (text: string) => Promise<void>
  /** When it has ended. */
  readonly result: Promise<CommandRun>
}

export interface TestClusterOptions {
  readonly storage: 'file' | 'rbd'
  readonly hostCount: number
  readonly vmCount?: number
  /** Size of the template, bytes. Default 64 MiB. */
  readonly sizeBytes?: number
  readonly maxBitrate?: string
  /** How the command gets to the hosts: into their network namespaces, by OpenSSH, or by Slurm. Default the first. */
  readonly executor?: 'netns' | 'ssh' | 'srun'
  /** Gives each host a disk of its own, of so many bytes. */
  readonly diskBytes?: number
}

/** A way to the hosts that was set up, and how to take that down again. */
interface Way {
  readonly through: readonly string[]
  readonly remove: () => void
}

const WAYS = {
  netns: ({ through }: DeployerHosts): Way => ({ through, remove: () => undefined }),
  ssh: startSsh,
  srun: startSlurm,
}

/**
 * A whole cluster on one machine: hosts with a network each, storage (a real Ceph, or files behind qemu-storage-daemon), a template that
 * the verifying guest can boot with, a description in YAML, and the real command to work at it.
 */
export class TestCluster {
  readonly hosts: DeployerHosts
  readonly ceph: CephCluster | undefined
  readonly folder: string
  readonly #options: TestClusterOptions
  readonly #way: Way
  readonly #guests: GuestConsole[] = []

  private constructor(options: TestClusterOptions, hosts: DeployerHosts, way: Way, ceph: CephCluster | undefined) {
    this.#options = options
    this.hosts = hosts
    this.#way = way
    this.ceph = ceph
    this.folder = mkdtempSync(join(tmpdir(), 'skilfish-cluster-'))
  }

  /** Take it {@link down} in a `finally`. @throws Error that names what is missing */
  static async up(options: TestClusterOptions): Promise<TestCluster> {
    const missing = missingPackages(PACKAGES)
    if (missing.length > 0) throw new Error(`Clusters need ${missing.join('; ')}`)
    const { hostCount, diskBytes, executor = 'netns' } = options
    const hosts = DeployerHosts.up({ hostCount, ...(diskBytes === undefined ? {} : { diskBytes }) })
    let ceph: CephCluster | undefined
    let way: Way | undefined
    try {
      const { through, ipv4 } = hosts.storage
      way = await WAYS[executor](hosts)
      if (options.storage === 'rbd') ceph = await CephCluster.up({ address: ipv4, through })
      const cluster = new TestCluster(options, hosts, way, ceph)
      writeGuestDisk(cluster.templatePath, options.sizeBytes ?? 64 * 1024 * 1024)
      if (ceph !== undefined) {
        ceph.rbd('import', '--no-progress', cluster.templatePath, 'template')
        ceph.rbd('snap', 'create', '--no-progress', 'template@golden')
      }
      cluster.place(0)
      return cluster
    } catch (error) {
      await ceph?.down()
      hosts.down()
      way?.remove()
      throw error
    }
  }

  get templatePath(): string {
    return join(this.folder, 'template.raw')
  }

  get planPath(): string {
    return join(this.folder, 'cluster.yaml')
  }

  /** Names of the machines: `vm1` and so on. */
  get vms(): readonly string[] {
    return Array.from({ length: this.#options.vmCount ?? this.#options.hostCount }, (_, index) => `vm${index + 1}`)
  }

  /** Writes the description: the machines go round the hosts, from the one with this index on. */
  place(firstHost: number, changes: object = {}): void {
    const { hosts, machine } = this.hosts
    const { through } = this.#way
    const { kernelPath, initrdPath, append } = guestFiles()
    const { storage, maxBitrate } = this.#options
    const plan = {
      cluster: 'test',
      storage:
        storage === 'rbd'
          ? { template: 'rbd:rbd/template@golden', cephConf: this.ceph!.confPath }
          : { template: `file:${this.templatePath}`, listen: `${machine.ipv4}:10809` },
      transfer: { interface: machine.interfaceName, ...(maxBitrate === undefined ? {} : { maxBitrate }) },
      hostDefaults: { through, program: [process.execPath, COMMAND], interface: 'eth0' },
      hosts: hosts.map(({ name, folder }) => ({ name, folder })),
      vmDefaults: { accelerator: 'tcg', memoryMiB: 128, kernel: kernelPath, initrd: initrdPath, append },
      vms: this.vms.map((name, index) => ({ name, host: this.hostOf(index + firstHost) })),
      ...changes,
    }
    writeFileSync(this.planPath, stringify(plan))
  }

  hostOf(index: number): string {
    return this.hosts.hosts[index % this.hosts.hosts.length]!.name
  }

  /** Files of a machine on the host where it is placed with {@link place} of 0, or on the host with that index. */
  vmFolder(vm: string, hostIndex: number = this.vms.indexOf(vm)): string {
    const { folder } = this.hosts.hosts[hostIndex % this.hosts.hosts.length]!
    return join(folder, 'vms', 'test', vm)
  }

  /** Runs `skilfish COMMAND --json … FILE` to its end. */
  run(command: string, ...args: readonly string[]): Promise<CommandRun> {
    return this.start(command, ...args).result
  }

  /** Runs it and expects it to succeed. */
  async done(command: string, ...args: readonly string[]): Promise<CommandRun> {
    const run = await this.run(command, ...args)
    if (run.status !== 0) throw new Error(`skilfish ${command} failed (${run.status})\n${run.output}`)
    return run
  }

  /** Starts `skilfish COMMAND --json … FILE`. */
  start(command: string, ...args: readonly string[]): StartedCommand {
    const process_ = spawn(process.execPath, [COMMAND, command, '--json', ...args, this.planPath], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: COMMAND_ENVIRONMENT,
    })
    let output = ''
    let errors = ''
    const lookers = new Set<() => void>()
    process_.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
      for (const look of lookers) look()
    })
    process_.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
    const result = once(process_, 'close').then(() => parseRun(process_.exitCode ?? 255, output, errors))
    const said = (text: string): Promise<void> =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (output.includes(text)) resolve()
        }
        lookers.add(look)
        look()
        void result.then(() =>
          reject(new Error(`skilfish ${command} ended and never said ${text}\n${output}${errors}`)),
        )
      })
    return { process: process_, said, result }
  }

  /** Waits until the lease of a deployer that was killed has ended: as if a minute had gone by. */
  async waitForLease(): Promise<void> {
    if (this.ceph !== undefined) throw new Error('only for files')
    const path = join(`${this.templatePath}.skilfish`, 'test', 'lease')
    const lease = JSON.parse(readFileSync(path, 'utf8')) as { expiresMs: number }
    writeFileSync(path, JSON.stringify({ ...lease, expiresMs: Date.now() - 1 }))
    await this.#hostStepsEnded()
  }

  /** What hosts still do for a deployer that is gone, they give up. */
  async #hostStepsEnded(): Promise<void> {
    const isBusy = (): boolean =>
      runCommand('ps', ['-eo', 'args'])
        .split('\n')
        .some((line) => line.endsWith(`${COMMAND} host`))
    while (isBusy()) await new Promise((resolve) => setTimeout(resolve, 50))
  }

  /** The console of a running machine. */
  async guest(vm: string, hostIndex?: number): Promise<GuestConsole> {
    const guest = await GuestConsole.connect(join(this.vmFolder(vm, hostIndex), 'console.sock'))
    this.#guests.push(guest)
    return guest
  }

  /** Waits until QEMU says so of a machine, such as `io-error`. */
  async stateOf(vm: string, state: string): Promise<void> {
    await this.#until(`${vm} to be in state ${state}`, async () => {
      // It says nothing while it waits for the storage.
      const qmp = await QmpClient.connect(join(this.vmFolder(vm), 'qmp.sock')).catch(() => undefined)
      if (qmp === undefined) return false
      const { status } = await queryStatus(qmp).finally(() => qmp.close())
      return status === state
    })
  }

  /** Waits until the host has noted that a machine has such a base. */
  async baseOf(vm: string, base: string): Promise<void> {
    const path = join(this.vmFolder(vm), 'vm.json')
    await this.#until(`${vm} to have its base ${base}`, () =>
      Promise.resolve((JSON.parse(readFileSync(path, 'utf8')) as { base: string }).base === base),
    )
  }

  async #until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + WAIT_MS
    while (!(await isSo())) {
      if (performance.now() > deadlineMs) throw new Error(`waited in vain for ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  /**
   * Loses a host: its cable is pulled, and whatever runs there or is started there is killed at once.
   * @returns what brings it back, empty
   */
  loseHost(hostIndex: number): () => Promise<void> {
    const { lab } = this.hosts
    const { namespace } = lab.hosts[hostIndex + 1]!
    lab.linkDown(hostIndex + 1)
    const script = 'while :; do for pid in $(ip netns pids "$1"); do kill -9 "$pid"; done; sleep 0.01; done'
    const killer = spawn('sh', ['-c', script, 'sh', namespace], { stdio: 'ignore' })
    return async () => {
      killer.kill()
      await once(killer, 'exit')
      lab.linkUp(hostIndex + 1)
    }
  }

  /** Takes a machine's image out of the storage, as somebody might who does not know of the deployer. */
  deleteImage(vm: string): void {
    if (this.ceph === undefined) rmSync(join(`${this.templatePath}.skilfish`, 'test', `${vm}.qcow2`))
    else {
      this.ceph.rbd('snap', 'purge', '--no-progress', `test.${vm}`)
      this.ceph.rbd('rm', '--no-progress', `test.${vm}`)
    }
  }

  /** The generations of a machine's image that the storage still has. */
  generationsOf(vm: string): readonly number[] {
    const image = join(`${this.templatePath}.skilfish`, 'test', `${vm}.qcow2`)
    const text =
      this.ceph === undefined
        ? runCommand('qemu-img', ['snapshot', '-l', image])
        : this.ceph.rbd('snap', 'ls', `test.${vm}`)
    return [...text.matchAll(/\bgeneration-(\d+)\b/g)].map(([, number]) => Number(number))
  }

  /** Ends the storage at once and for ever. */
  async killStorage(): Promise<void> {
    if (this.ceph === undefined) process.kill(this.#serverPid()!, 'SIGKILL')
    else await this.ceph.down()
  }

  /** Stops the storage where it is, as if the network had gone. */
  pauseStorage(): void {
    if (this.ceph === undefined) process.kill(this.#serverPid()!, 'SIGSTOP')
    else this.ceph.pause()
  }

  resumeStorage(): void {
    if (this.ceph === undefined) process.kill(this.#serverPid()!, 'SIGCONT')
    else this.ceph.resume()
  }

  async down(): Promise<void> {
    for (const guest of this.#guests.splice(0)) guest.close()
    this.hosts.down()
    this.#way.remove()
    await this.ceph?.down()
    const server = this.#serverPid()
    if (server !== undefined && existsSync(`/proc/${server}`)) process.kill(server, 'SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** What an image of the storage holds, as a raw file of this machine. */
  copyOfImage(vm: string): string {
    const copy = join(this.folder, `${vm}.raw`)
    if (this.ceph === undefined) {
      const image = join(`${this.templatePath}.skilfish`, 'test', `${vm}.qcow2`)
      runCommand('qemu-img', ['convert', '-U', '-O', 'raw', image, copy])
    } else {
      rmSync(copy, { force: true })
      this.ceph.rbd('export', '--no-progress', `test.${vm}`, copy)
    }
    return copy
  }

  #serverPid(): number | undefined {
    const path = join(`${this.templatePath}.skilfish`, 'test', 'server.pid')
    return existsSync(path) ? Number(readFileSync(path, 'utf8')) : undefined
  }
}

function parseRun(status: number, output: string, errors: string): CommandRun {
  const lines = output.split('\n').filter((line) => line.startsWith('{'))
  const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  const error = parsed.find(({ type }) => type === 'error')
  const result =
    parsed.find(({ type }) => type === 'result') ?? (error?.['result'] as Record<string, unknown> | undefined)
  const results = Array.isArray(result?.['results']) ? (result['results'] as CommandRun['results']) : []
  const text = (name: string): string => (typeof error?.[name] === 'string' ? error[name] : '')
  return { status, results, message: text('message'), code: text('code'), output: `${output}${errors}` }
}
