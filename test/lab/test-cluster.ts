import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stringify } from 'yaml'
import { QmpClient, queryStatus } from '../../src/qmp/index.ts'
import { SKILFISH, startCommand, type CommandRun, type StartedCommand } from './cluster-command.ts'
import { CephClusterStorage, CLUSTER_NAME, FileClusterStorage, type ClusterStorage } from './cluster-storage.ts'
import { missingPackages, runCommand } from './command.ts'
import { DeployerHosts, type WayToHosts } from './deployer-hosts.ts'
import { GuestConsole } from './guest-console.ts'
import { guestFiles, writeGuestDisk } from './guest.ts'
import { startSlurm } from './slurm-hosts.ts'
import { startSsh } from './ssh-hosts.ts'

const PACKAGES = {
  'qemu-system-x86': ['qemu-system-x86_64'],
  'qemu-system-common': ['qemu-storage-daemon'],
  'qemu-utils': ['qemu-img', 'qemu-io'],
}

/** How long a condition is waited for, milliseconds. */
const WAIT_MS = 60_000

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

const WAYS = {
  netns: ({ through }: DeployerHosts): WayToHosts => ({ through, remove: () => undefined }),
  ssh: startSsh,
  srun: startSlurm,
}

/**
 * A whole cluster on one machine: hosts with a network each, storage (a real Ceph, or files behind qemu-storage-daemon), a template that
 * the verifying guest can boot with, a description in YAML, and the real command to work at it.
 */
export class TestCluster {
  readonly hosts: DeployerHosts
  readonly storage: ClusterStorage
  readonly folder: string
  readonly #options: TestClusterOptions
  readonly #way: WayToHosts
  readonly #planPath: string
  readonly #guests: GuestConsole[] = []

  private constructor(
    options: TestClusterOptions,
    folder: string,
    hosts: DeployerHosts,
    way: WayToHosts,
    storage: ClusterStorage,
  ) {
    this.#options = options
    this.folder = folder
    this.hosts = hosts
    this.#way = way
    this.storage = storage
    this.#planPath = join(folder, 'cluster.yaml')
    this.place(0)
  }

  /** Take it {@link down} in a `finally`. @throws Error that names what is missing */
  static async up(options: TestClusterOptions): Promise<TestCluster> {
    const missing = missingPackages(PACKAGES)
    if (missing.length > 0) throw new Error(`Clusters need ${missing.join('; ')}`)
    const { hostCount, diskBytes, executor = 'netns', sizeBytes = 64 * 1024 * 1024 } = options
    const hosts = DeployerHosts.up({ hostCount, ...(diskBytes === undefined ? {} : { diskBytes }) })
    const folder = mkdtempSync(join(tmpdir(), 'skilfish-cluster-'))
    let way: WayToHosts | undefined
    let storage: ClusterStorage | undefined
    try {
      way = await WAYS[executor](hosts)
      const templatePath = join(folder, 'template.raw')
      writeGuestDisk(templatePath, sizeBytes)
      storage =
        options.storage === 'rbd'
          ? await CephClusterStorage.up(templatePath, hosts)
          : new FileClusterStorage(templatePath, hosts)
      return new TestCluster(options, folder, hosts, way, storage)
    } catch (error) {
      hosts.down()
      way?.remove()
      await storage?.down()
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** Does some work with a cluster, and takes that down. */
  static async with<Result>(
    options: TestClusterOptions,
    work: (cluster: TestCluster) => Promise<Result>,
  ): Promise<Result> {
    const cluster = await TestCluster.up(options)
    try {
      return await work(cluster)
    } catch (cause) {
      throw new Error(`the work with the cluster failed; QEMU says: ${await cluster.#states()}`, { cause })
    } finally {
      await cluster.down()
    }
  }

  async down(): Promise<void> {
    for (const guest of this.#guests.splice(0)) guest.close()
    this.hosts.down()
    this.#way.remove()
    await this.storage.down()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** Names of the machines: `vm1` and so on. */
  get vms(): readonly string[] {
    return Array.from({ length: this.#options.vmCount ?? this.#options.hostCount }, (_, index) => `vm${index + 1}`)
  }

  /** Writes the description: the machines go round the hosts, from the one with this index on. */
  place(firstHost: number, changes: object = {}): void {
    const { hosts, machine } = this.hosts
    const { kernelPath, initrdPath, append } = guestFiles()
    const { maxBitrate } = this.#options
    const program = [process.execPath, SKILFISH]
    const plan = {
      cluster: CLUSTER_NAME,
      storage: this.storage.plan,
      transfer: { interface: machine.interfaceName, ...(maxBitrate === undefined ? {} : { maxBitrate }) },
      hostDefaults: { through: this.#way.through, program, interface: 'eth0' },
      hosts: hosts.map(({ name, folder }) => ({ name, folder })),
      vmDefaults: { accelerator: 'tcg', memoryMiB: 128, kernel: kernelPath, initrd: initrdPath, append },
      vms: this.vms.map((name, index) => ({ name, host: this.hostOf(index + firstHost) })),
      ...changes,
    }
    writeFileSync(this.#planPath, stringify(plan))
  }

  hostOf(index: number): string {
    return this.hosts.hosts[index % this.hosts.hosts.length]!.name
  }

  /** Files of a machine on the host where it is placed with {@link place} of 0, or on the host with that index. */
  vmFolder(vm: string, hostIndex: number = this.vms.indexOf(vm)): string {
    const { folder } = this.hosts.hosts[hostIndex % this.hosts.hosts.length]!
    return join(folder, 'vms', CLUSTER_NAME, vm)
  }

  /** Starts `skilfish COMMAND --json … FILE`. */
  start(command: string, ...args: readonly string[]): StartedCommand {
    return startCommand(command, [...args, this.#planPath])
  }

  /** Runs it to its end. */
  run(command: string, ...args: readonly string[]): Promise<CommandRun> {
    return this.start(command, ...args).result
  }

  /** Runs it and expects it to succeed. */
  async done(command: string, ...args: readonly string[]): Promise<CommandRun> {
    const run = await this.run(command, ...args)
    if (run.status !== 0) throw new Error(`skilfish ${command} failed (${run.status})\n${run.output}`)
    return run
  }

  /** Waits until nothing is left of a deployer that was killed: its lease, and what hosts still do for it and then give up. */
  async forgetDeployer(): Promise<void> {
    this.storage.endLease()
    await this.#until('the steps of hosts to end', () => this.stepCount() === 0)
  }

  /** How many steps hosts are at: those of this cluster alone, as others may be at work beside it. */
  stepCount(): number {
    const steps = runCommand('ps', ['-eo', 'pid=,args='])
      .split('\n')
      .filter((line) => line.endsWith(`${SKILFISH} host`))
    const namespaces = this.hosts.lab.receivers.map(({ namespace }) => namespace)
    const pids = namespaces.flatMap((name) => runCommand('ip', ['netns', 'pids', name]).split('\n'))
    // One that is just being started is not yet in its host, and names it.
    const isOurs = (line: string): boolean =>
      namespaces.some((name) => line.includes(name)) || pids.includes(line.trim().split(' ')[0]!)
    return steps.filter(isOurs).length
  }

  /** The console of a running machine. */
  async guest(vm: string, hostIndex?: number): Promise<GuestConsole> {
    const guest = await GuestConsole.connect(join(this.vmFolder(vm, hostIndex), 'console.sock'))
    this.#guests.push(guest)
    return guest
  }

  /** Waits until QEMU says so of a machine, such as `io-error`. */
  stateOf(vm: string, state: string): Promise<void> {
    return this.#until(`${vm} to be in state ${state}`, async () => (await this.#state(vm)) === state)
  }

  /** @returns undefined where QEMU says nothing: it does not run, or waits for the storage */
  async #state(vm: string): Promise<string | undefined> {
    const qmp = await QmpClient.connect(join(this.vmFolder(vm), 'qmp.sock')).catch(() => undefined)
    if (qmp === undefined) return undefined
    const { status } = await queryStatus(qmp).finally(() => qmp.close())
    return status
  }

  async #states(): Promise<string> {
    const states = await Promise.all(this.vms.map((vm) => this.#state(vm).catch(() => undefined)))
    return this.vms.map((vm, index) => `${vm} ${states[index] ?? 'nothing'}`).join(', ')
  }

  /** Waits until the host has noted that a machine has such a base. */
  async baseOf(vm: string, base: string): Promise<void> {
    const path = join(this.vmFolder(vm), 'vm.json')
    const isSo = (): boolean => (JSON.parse(readFileSync(path, 'utf8')) as { base: string }).base === base
    await this.#until(`${vm} to have its base ${base}`, isSo)
  }

  async #until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + WAIT_MS
    while (!(await isSo())) {
      if (performance.now() > deadlineMs) throw new Error(`waited in vain for ${what}`)
      await delay(50)
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

  /** What a machine's image in the storage holds, as a raw file of this machine. */
  copyOfImage(vm: string): string {
    const copy = join(this.folder, `${vm}.raw`)
    this.storage.exportImage(vm, copy)
    return copy
  }
}
