import { randomBytes } from 'node:crypto'
import { checkCount, checkNumber, MAX_WAIT_MS } from '../check.ts'
import { SkilfishError } from '../errors.ts'
import { LEAST_BITS_PER_SEC, MAX_BITS_PER_SEC } from '../ratelimit/index.ts'
import { checkTransfer } from './check-transfer.ts'
import type { ClusterPlan, VmPlan } from './cluster-file.ts'
import { commitVm } from './commit-operation.ts'
import type {
  AbandonResult,
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
import { forEach } from './extents.ts'
import { fetchBases } from './fetch-operation.ts'
import { HostAgent, HostLostError } from './host-agent.ts'
import type { BaseName, StepHooks, StepResults } from './host-protocol.ts'
import { baseName } from './names.ts'
import { forAll, inTurn } from './parts.ts'
import { placeVm, requireRecord, type PlacedVm } from './placed-vm.ts'
import { leasedStorage, openStorage, type Storage, type VmRecord } from './storage/index.ts'

/** How long a guest may take to power down before it is turned off, milliseconds. */
const SHUTDOWN_TIMEOUT_MS = 60_000

/** Commits at the same time, unless told otherwise: more than a few only wait for the storage. */
const COMMITS_AT_ONCE = 4
const MAX_AT_ONCE = 64

const LOSS_NOTE = 'the lease was lost; it goes on without, as it changes nothing in the storage'

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
  /** While an operation holds the lease, one that changes nothing without it. */
  #storage: Storage
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
      const base = await this.#base()
      return this.#each('create', this.#chosen(choice), async (vm) => {
        const { name } = vm
        const record = await this.#storage.vmRecord(name)
        if (record !== undefined) {
          this.#require({ ...vm, record }, base)
          return { isNew: false }
        }
        const id = randomBytes(8).toString('hex')
        const { cluster } = this.plan
        await this.#storage.createVm(name, { id, cluster, template: base.identity, generation: 0 })
        return { isNew: true }
      })
    })
  }

  /** Starts machines, each over its image in the storage, or over its host's copy where that is there. Those that run are adopted. */
  boot(choice: Choice = {}): Promise<readonly Part<BootResult>[]> {
    return this.#locked('boot', async () => {
      const base = await this.#base()
      return this.#each('boot', this.#chosen(choice), (vm) => this.#boot(vm, base))
    })
  }

  /** Brings the template to every host of the machines, by one multicast session, and to each machine what its image alone has. */
  fetch(choice: Choice = {}): Promise<FetchResult> {
    return this.#locked('fetch', async () => {
      await checkTransfer(this.plan.transfer)
      const [base, vms] = [await this.#base(), await this.#placed(choice)]
      return fetchBases({
        ...{ plan: this.plan, storage: this.#storage, vms, base, emit: this.#emit },
        require: (vm) => this.#require(vm, base),
        ...{ agent: (host) => this.#agent(host), hooks: this.#hooks('fetch'), signal: this.#signal },
      })
    })
  }

  /**
   * Switches running machines from the storage to their hosts' copies. It goes on when the lease is lost: it changes nothing in the
   * storage, whose failure may be why, and hosts refuse it for a machine that has another image or generation by then.
   */
  switch(choice: Choice = {}): Promise<readonly Part<SwitchResult>[]> {
    const work = async (): Promise<readonly Part<SwitchResult>[]> => {
      const [base, vms] = [await this.#base(), await this.#placed(choice)]
      return this.#each('switch', vms, async (vm) => {
        const { id: image, generation } = this.#require(vm, base)
        return this.#agent(vm.host).run(
          { step: 'switch', ...this.#place(vm), image, generation, base },
          this.#hooks('switch')(vm),
        )
      })
    }
    return this.#locked('switch', work, 'goes-on-without-lease')
  }

  /**
   * {@link create}, {@link boot}, {@link fetch} and {@link switch}, each for the machines that did not fail before.
   * @param choice.beforeFetch called once machines are booted
   */
  async up(choice: Choice & { readonly beforeFetch?: () => void } = {}): Promise<void> {
    await checkTransfer(this.plan.transfer)
    await inTurn(this.#chosen(choice), [
      (chosen) => this.create(chosen),
      (chosen) => this.boot(chosen),
      async (chosen) => {
        choice.beforeFetch?.()
        return (await this.fetch(chosen)).vms
      },
      (chosen) => this.switch(chosen),
    ])
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
        return error.message
      },
    )
    const parts = await forAll('status', this.#chosen(choice), this.#emit, async (vm): Promise<VmView> => {
      const { name, host, record, recordError } = await placeVm(this.#storage, vm)
      const place = { name, host }
      const known = {
        ...{ vm: name, host },
        ...(record === undefined ? {} : { record }),
        ...(recordError === undefined ? {} : { storageReason: recordError.message }),
      }
      try {
        const hooks = this.#hooks('status')(place)
        return { ...known, ...(await this.#agent(place.host).run({ step: 'status', ...this.#place(place) }, hooks)) }
      } catch (error) {
        if (!(error instanceof SkilfishError)) throw error
        return { ...known, state: 'unknown', reason: error.message }
      }
    })
    const storageReason = await looked
    // Where the template is not to be had, nothing tells whether an image is.
    return parts.map(({ result }) =>
      result.record !== undefined || storageReason === undefined ? result : { storageReason, ...result },
    )
  }

  /** Has guests power down; those that do not are turned off after `timeoutMs`, 0 to 2,000,000,000, default 60,000. */
  shutdown(choice: Choice & { readonly timeoutMs?: number } = {}): Promise<readonly Part<StepResults['shutdown']>[]> {
    const { timeoutMs = SHUTDOWN_TIMEOUT_MS } = choice
    checkNumber('timeoutMs', timeoutMs, 0, MAX_WAIT_MS)
    return this.#locked('shutdown', async () =>
      this.#each('shutdown', await this.#placed(choice), (vm) =>
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
      const work = async (vm: PlacedVm): Promise<CommitResult> => {
        const { name, host } = vm
        const present = this.#require(vm, base)
        const place = this.#place({ name, host })
        const hooks = this.#hooks('commit')({ name, host })
        const agent = this.#agent(host)
        return commitVm({ storage: this.#storage, agent, place, record: present, base, bytesPerSec, hooks })
      }
      return this.#each('commit', await this.#placed(choice), work, atOnce)
    })
  }

  /** Removes machines that are down: overlays, copies and images. Changes that are not committed only with `isDiscarding`. */
  destroy(choice: Choice & { readonly isDiscarding?: boolean } = {}): Promise<readonly Part<object>[]> {
    const { isDiscarding: isForced = false } = choice
    return this.#locked('destroy', async () => {
      const parts = await this.#each('destroy', await this.#placed(choice), async (vm) => {
        if (vm.record !== undefined || vm.recordError !== undefined) this.#require(vm)
        await this.#agent(vm.host).run({ step: 'remove', ...this.#place(vm), isForced }, this.#hooks('destroy')(vm))
        await this.#storage.removeVm(vm.name)
        return {}
      })
      const left = await this.#placed({})
      if (left.every(({ record, recordError }) => record === undefined && recordError === undefined))
        await this.#storage.removeCluster()
      return parts
    })
  }

  /**
   * Gives up what machines have changed since their last commit on hosts that are lost, so that they can be booted elsewhere, from that
   * commit. Only for hosts that do not answer, and for machines that have no such changes.
   */
  abandon(choice: Required<Choice>): Promise<readonly Part<AbandonResult>[]> {
    return this.#locked('abandon', async () =>
      this.#each('abandon', await this.#placed(choice), async (vm) => {
        const { name, host } = vm
        const { id, cluster, template, generation, host: holder, committing } = this.#require(vm)
        if (holder === undefined) return { isHostLost: false }
        const isHostLost = await this.#isLost(name, host)
        if (committing !== undefined) await this.#storage.rollBack(name, generation)
        await this.#storage.setVmRecord(name, { id, cluster, template, generation })
        return { isHostLost }
      }),
    )
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

  /**
   * Changes the cap of fetches to come, whatever their description says, and of multicast sessions under way (within 2 s, whoever runs
   * them), bits per second; undefined lifts it. The copying of what machines alone have goes on with the cap that it began with.
   */
  async setMaxBitrate(bitsPerSec: number | undefined): Promise<void> {
    checkCap(bitsPerSec)
    // No record for a storage that is not there.
    await this.#storage.template()
    await this.#storage.setClusterRecord({ maxBitrate: bitsPerSec ?? null })
  }

  async #boot(vm: VmPlan, base: BaseName): Promise<BootResult> {
    const record = this.#require({ ...vm, record: await this.#storage.vmRecord(vm.name) }, base)
    if (record.committing !== undefined) {
      throw new SkilfishError('VM_STATE', `cannot boot ${vm.name}: a commit of it was interrupted; commit again first`)
    }
    if (record.host !== undefined && record.host !== vm.host) {
      const text = `its changes are on ${record.host} and not committed; commit them, or boot it there`
      throw new SkilfishError('VM_STATE', `cannot boot ${vm.name} on ${vm.host}: ${text}`)
    }
    const agent = this.#agent(vm.host)
    const hooks = this.#hooks('boot')(vm)
    const { id: image, generation } = record
    // A commit that counts may not have been told to the host: its deployer may have died.
    await agent.run({ step: 'committed', ...this.#place(vm), image, generation }, hooks)
    if (record.host === undefined) await this.#storage.setVmRecord(vm.name, { ...record, host: vm.host })
    const remote = await this.#storage.remoteImage(vm.name, generation)
    const place = { ...this.#place(vm), image, generation, base }
    const { sizeBytes } = base
    return {
      ...(await agent.run({ step: 'boot', ...place, sizeBytes, remote, hardware: vm.hardware }, hooks)),
      generation,
    }
  }

  /** Takes a machine away from its host, if that is there. @returns whether it is not */
  async #isLost(name: string, host: string): Promise<boolean> {
    const hooks = this.#hooks('abandon')({ name, host })
    try {
      if (!this.#agents.has(host)) throw new HostLostError('it is not among the hosts of the cluster')
      await this.#agent(host).run({ step: 'remove', ...this.#place({ name, host }), isForced: false }, hooks)
      return false
    } catch (error) {
      if (!(error instanceof HostLostError)) throw error
      const text = `${host} is taken for lost (${error.message}); the machine may still run there, and its files stay there`
      this.#emit({ operation: 'abandon', vm: name, host, kind: 'note', text })
      return true
    }
  }

  #require(vm: PlacedVm, base?: BaseName): VmRecord {
    return requireRecord(this.plan.cluster, vm, base)
  }

  async #placed(choice: Choice): Promise<readonly PlacedVm[]> {
    const placed = new Map<VmPlan, PlacedVm>()
    const vms = this.#chosen(choice)
    await forEach(vms, MAX_AT_ONCE, async (vm) => void placed.set(vm, await placeVm(this.#storage, vm)))
    return vms.map((vm) => placed.get(vm)!)
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

  #each<Vm extends VmPlan, Result>(
    operation: Operation,
    vms: readonly Vm[],
    work: (vm: Vm) => Promise<Result>,
    atOnce?: number,
  ): Promise<readonly Part<Result>[]> {
    const each = (vm: Vm): Promise<Result> => {
      this.#signal.throwIfAborted()
      return work(vm)
    }
    return forAll(operation, vms, this.#emit, each, atOnce)
  }

  async #locked<Result>(
    operation: Operation,
    work: () => Promise<Result>,
    onLoss: 'ends-with-lease' | 'goes-on-without-lease' = 'ends-with-lease',
  ): Promise<Result> {
    const storage = this.#storage
    const lease = await storage.acquireLease({
      signal: this.#asked,
      onWait: (text) => this.#emit({ operation, kind: 'note', text }),
    })
    if (onLoss === 'ends-with-lease') this.#signal = AbortSignal.any([this.#asked, lease.lost])
    else lease.lost.addEventListener('abort', () => this.#emit({ operation, kind: 'note', text: LOSS_NOTE }))
    this.#storage = leasedStorage(storage, lease)
    try {
      this.#signal.throwIfAborted()
      return await work()
    } finally {
      this.#signal = this.#asked
      this.#storage = storage
      await lease.release()
    }
  }
}

/** The same bounds as a sender's: it is handed to one. */
const checkCap = (maxBitrate: number | undefined): void =>
  checkNumber('maxBitrate', maxBitrate, LEAST_BITS_PER_SEC, MAX_BITS_PER_SEC)
