import { checkCount, checkNumber, MAX_WAIT_MS } from '../check.ts'
import { SkilfishError } from '../errors.ts'
import { LEAST_BITS_PER_SEC, MAX_BITS_PER_SEC } from '../ratelimit/index.ts'
import type { ClusterPlan, VmPlan } from './cluster-file.ts'
import { commitVm } from './commit-operation.ts'
import type {
  BootResult,
  CommitResult,
  CreateResult,
  DeployerEvent,
  FetchResult,
  Operation,
  Part,
  SwitchResult,
  VmView,
} from './deployer-events.ts'
import { fetchBases } from './fetch-operation.ts'
import { HostAgent } from './host-agent.ts'
import type { BaseName, StepHooks, StepResults } from './host-protocol.ts'
import { baseName } from './names.ts'
import { forAll } from './parts.ts'
import { openStorage, type Storage, type VmRecord } from './storage/index.ts'

/** How long a guest may take to power down before it is turned off, milliseconds. */
const SHUTDOWN_TIMEOUT_MS = 60_000

/** Commits at the same time, unless told otherwise: more than a few only wait for the storage. */
const COMMITS_AT_ONCE = 4
const MAX_AT_ONCE = 64

export interface DeployerOptions {
  /** Called for each event. */
  readonly onEvent?: (event: DeployerEvent) => void
  /** Gives up what is under way; the same operation, called again, goes on. */
  readonly signal?: AbortSignal
}

/** Which machines an operation is about. Default: all of the cluster. */
export interface Choice {
  readonly vms?: readonly string[]
}

/**
 * Works at one cluster: makes its images, boots its machines over the shared storage, brings the template to every host, switches
 * running machines to it, and commits what they changed. Every operation may be called again after any interruption, by any process
 * that reaches storage and hosts. One deployer at a time: all but {@link status} and {@link setMaxBitrate} hold the cluster's lease.
 *
 * All reject with ClusterFailedError when some machines or hosts failed, CLUSTER_BUSY, and the codes of the storage.
 */
export class Deployer {
  readonly plan: ClusterPlan
  readonly #storage: Storage
  readonly #agents: ReadonlyMap<string, HostAgent>
  readonly #emit: (event: DeployerEvent) => void
  readonly #asked: AbortSignal
  /** What ends the operation under way: whoever asked for it, or the loss of the lease. */
  #signal: AbortSignal

  constructor(plan: ClusterPlan, options: DeployerOptions = {}) {
    this.plan = plan
    this.#storage = openStorage(plan)
    this.#agents = new Map(plan.hosts.map((host) => [host.name, new HostAgent(host)]))
    this.#emit = options.onEvent ?? (() => undefined)
    this.#asked = options.signal ?? new AbortController().signal
    this.#signal = this.#asked
  }

  /** Makes an image for each machine that has none. */
  create(choice: Choice = {}): Promise<readonly Part<CreateResult>[]> {
    return this.#locked('create', async () => {
      const { identity } = await this.#storage.template()
      return this.#each('create', choice, async ({ name }) => {
        const record = await this.#storage.vmRecord(name)
        if (record !== undefined) return { isNew: false }
        await this.#storage.createVm(name, { cluster: this.plan.cluster, template: identity, generation: 0 })
        return { isNew: true }
      })
    })
  }

  /** Starts machines, each over its image in the storage, or over its host's copy where that is there. Those that run are adopted. */
  boot(choice: Choice = {}): Promise<readonly Part<BootResult>[]> {
    return this.#locked('boot', async () => {
      const base = await this.#base()
      return this.#each('boot', choice, (vm) => this.#boot(vm, base))
    })
  }

  /** Brings the template to every host of the machines, by one multicast session, and to each machine what its image alone has. */
  fetch(choice: Choice = {}): Promise<FetchResult> {
    return this.#locked('fetch', async () => {
      const vms = this.#chosen(choice)
      return fetchBases({
        ...{ plan: this.plan, storage: this.#storage, vms, base: await this.#base(), emit: this.#emit },
        ...{ agent: (host) => this.#agent(host), hooks: this.#hooks('fetch'), signal: this.#signal },
      })
    })
  }

  /** Switches running machines from the storage to their hosts' copies. */
  switch(choice: Choice = {}): Promise<readonly Part<SwitchResult>[]> {
    return this.#locked('switch', async () => {
      const base = await this.#base()
      const records = new Map<string, VmRecord | undefined>()
      for (const { name } of this.#chosen(choice)) records.set(name, await this.#storage.vmRecord(name))
      return this.#each('switch', choice, async (vm) => {
        const { generation } = present(vm.name, records.get(vm.name))
        return this.#agent(vm.host).run(
          { step: 'switch', ...this.#place(vm), generation, base },
          this.#hooks('switch')(vm),
        )
      })
    })
  }

  /** {@link create}, {@link boot}, {@link fetch} and {@link switch}. */
  async up(choice: Choice = {}): Promise<void> {
    await this.create(choice)
    await this.boot(choice)
    await this.fetch(choice)
    await this.switch(choice)
  }

  /**
   * What is wanted, and what hosts and storage tell. A host that does not answer is told as the state of its machines, a template that
   * cannot be read as a note: machines run on without it.
   */
  async status(choice: Choice = {}): Promise<readonly VmView[]> {
    const looked = this.#storage.template().then(
      () => undefined,
      (error: unknown) => {
        if (!(error instanceof SkilfishError)) throw error
        this.#emit({ operation: 'status', kind: 'note', text: `the template is not to be had: ${error.message}` })
      },
    )
    const parts = await forAll('status', this.#chosen(choice), this.#emit, async (vm): Promise<VmView> => {
      const record = await this.#storage.vmRecord(vm.name)
      const known = { vm: vm.name, host: vm.host, ...(record === undefined ? {} : { record }) }
      try {
        return {
          ...known,
          ...(await this.#agent(vm.host).run({ step: 'status', ...this.#place(vm) }, this.#hooks('status')(vm))),
        }
      } catch (error) {
        if (!(error instanceof SkilfishError)) throw error
        return { ...known, state: `unknown (${error.message})` }
      }
    })
    await looked
    return parts.map(({ result }) => result)
  }

  /** Has guests power down; those that do not are turned off after `timeoutMs`, 0 to 2,000,000,000, default 60,000. */
  shutdown(choice: Choice & { readonly timeoutMs?: number } = {}): Promise<readonly Part<StepResults['shutdown']>[]> {
    const { timeoutMs = SHUTDOWN_TIMEOUT_MS } = choice
    checkNumber('timeoutMs', timeoutMs, 0, MAX_WAIT_MS)
    return this.#locked('shutdown', () =>
      this.#each('shutdown', choice, (vm) =>
        this.#agent(vm.host).run({ step: 'shutdown', ...this.#place(vm), timeoutMs }, this.#hooks('shutdown')(vm)),
      ),
    )
  }

  /**
   * Writes what machines that are down have changed into their images, and reads it back.
   * @param choice.atOnce machines at the same time, 1 to 64, default 4; `maxBitrate` is for each of them, bits per second, at least
   * 10,000
   */
  commit(
    choice: Choice & { readonly atOnce?: number; readonly maxBitrate?: number } = {},
  ): Promise<readonly Part<CommitResult>[]> {
    const { atOnce = COMMITS_AT_ONCE, maxBitrate = 0 } = choice
    checkCount('atOnce', atOnce, 1, MAX_AT_ONCE)
    checkCap(choice.maxBitrate)
    return this.#locked('commit', async () => {
      const base = await this.#base()
      const bytesPerSec = Math.floor(maxBitrate / 8)
      const work = async (vm: VmPlan): Promise<CommitResult> => {
        const record = await this.#record(vm.name)
        const host = record.host ?? vm.host
        const place = this.#place({ ...vm, host })
        const hooks = this.#hooks('commit')(vm)
        return commitVm({ storage: this.#storage, agent: this.#agent(host), place, record, base, bytesPerSec, hooks })
      }
      return forAll('commit', this.#chosen(choice), this.#emit, work, atOnce)
    })
  }

  /** Removes machines that are down: overlays, copies and images. Changes that are not committed only with `isDiscarding`. */
  destroy(choice: Choice & { readonly isDiscarding?: boolean } = {}): Promise<readonly Part<object>[]> {
    const { isDiscarding: isForced = false } = choice
    return this.#locked('destroy', async () => {
      const parts = await this.#each('destroy', choice, async (vm) => {
        await this.#agent(vm.host).run({ step: 'remove', ...this.#place(vm), isForced }, this.#hooks('destroy')(vm))
        await this.#storage.removeVm(vm.name)
        return {}
      })
      const left = await Promise.all(this.plan.vms.map(({ name }) => this.#storage.vmRecord(name)))
      if (left.every((record) => record === undefined)) await this.#storage.removeCluster()
      return parts
    })
  }

  /** Removes templates from hosts, those received first before others, until what is left takes at most `keepBytes`. */
  evict(keepBytes: number): Promise<readonly Part<StepResults['evict']>[]> {
    checkCount('keepBytes', keepBytes, 0, Number.MAX_SAFE_INTEGER)
    return this.#locked('evict', async () => {
      const { key } = await this.#base()
      const views = await this.status()
      const hosts = this.plan.hosts.map(({ name }) => ({ name, host: name }))
      return forAll('evict', hosts, this.#emit, ({ host }) => {
        const isUsed = views.some((view) => view.host === host && view.state !== 'down')
        const { folder } = this.#agent(host).plan
        const usedKeys = isUsed ? [key] : []
        return this.#agent(host).run(
          { step: 'evict', folder, keepBytes, usedKeys },
          this.#hooks('evict')({ name: host, host }),
        )
      })
    })
  }

  /** Changes the cap of fetches under way (within 2 s, whoever runs them) and to come, bits per second; undefined lifts it. */
  async setMaxBitrate(bitsPerSec: number | undefined): Promise<void> {
    checkCap(bitsPerSec)
    // No record for a storage that is not there.
    await this.#storage.template()
    await this.#storage.setClusterRecord(bitsPerSec === undefined ? {} : { maxBitrate: bitsPerSec })
  }

  async #boot(vm: VmPlan, base: BaseName): Promise<BootResult> {
    const record = await this.#record(vm.name)
    if (record.committing !== undefined) {
      throw new SkilfishError('VM_STATE', `cannot boot ${vm.name}: a commit of it was interrupted; commit again first`)
    }
    if (record.host !== undefined && record.host !== vm.host) {
      const text = `its changes are on ${record.host} and not committed; commit them, or boot it there`
      throw new SkilfishError('VM_STATE', `cannot boot ${vm.name} on ${vm.host}: ${text}`)
    }
    const agent = this.#agent(vm.host)
    const hooks = this.#hooks('boot')(vm)
    const { generation } = record
    // A commit that counts may not have been told to the host: its deployer may have died.
    await agent.run({ step: 'committed', ...this.#place(vm), generation }, hooks)
    if (record.host === undefined) await this.#storage.setVmRecord(vm.name, { ...record, host: vm.host })
    const remote = await this.#storage.remoteImage(vm.name, generation)
    const { hardware } = vm
    const request = {
      step: 'boot',
      ...this.#place(vm),
      generation,
      sizeBytes: base.sizeBytes,
      remote,
      base,
      hardware,
    } as const
    return { ...(await agent.run(request, hooks)), generation }
  }

  async #record(vm: string): Promise<VmRecord> {
    return present(vm, await this.#storage.vmRecord(vm))
  }

  async #base(): Promise<BaseName> {
    return baseName(await this.#storage.template())
  }

  #agent(host: string): HostAgent {
    const agent = this.#agents.get(host)
    if (agent !== undefined) return agent
    throw new SkilfishError('CLUSTER_INVALID', `cannot reach ${host}: it is not among the hosts of the cluster`)
  }

  #place(vm: { readonly name: string; readonly host: string }): { folder: string; cluster: string; vm: string } {
    return { folder: this.#agent(vm.host).plan.folder, cluster: this.plan.cluster, vm: vm.name }
  }

  #hooks(operation: Operation): (place: { readonly name: string; readonly host: string }) => StepHooks {
    return ({ name, host }) => ({
      signal: this.#signal,
      onProgress: (percent, bitsPerSec) => {
        const subject = name === host ? { host } : { vm: name, host }
        this.#emit({ operation, ...subject, kind: 'progress', percent, bitsPerSec })
      },
    })
  }

  #chosen({ vms }: Choice): readonly VmPlan[] {
    if (vms === undefined) return this.plan.vms
    return [...new Set(vms)].map((name) => {
      const vm = this.plan.vms.find((one) => one.name === name)
      if (vm !== undefined) return vm
      throw new SkilfishError('OPTION_INVALID', `cannot work at ${name}: the cluster has no such machine`)
    })
  }

  #each<Result>(
    operation: Operation,
    choice: Choice,
    work: (vm: VmPlan) => Promise<Result>,
  ): Promise<readonly Part<Result>[]> {
    return forAll(operation, this.#chosen(choice), this.#emit, (vm) => {
      this.#signal.throwIfAborted()
      return work(vm)
    })
  }

  async #locked<Result>(operation: Operation, work: () => Promise<Result>): Promise<Result> {
    const lease = await this.#storage.acquireLease({
      signal: this.#asked,
      onWait: (text) => this.#emit({ operation, kind: 'note', text }),
    })
    this.#signal = AbortSignal.any([this.#asked, lease.lost])
    try {
      this.#signal.throwIfAborted()
      return await work()
    } finally {
      this.#signal = this.#asked
      await lease.release()
    }
  }
}

/** The same bounds as a sender's: it is handed to one. */
const checkCap = (maxBitrate: number | undefined): void =>
  checkNumber('maxBitrate', maxBitrate, LEAST_BITS_PER_SEC, MAX_BITS_PER_SEC)

function present(vm: string, record: VmRecord | undefined): VmRecord {
  if (record !== undefined) return record
  throw new SkilfishError('VM_STATE', `cannot work at ${vm}: it has no image in the storage; create it first`)
}
