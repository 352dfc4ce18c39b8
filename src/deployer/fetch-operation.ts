import { ReceiversFailedError, send } from '../sender/index.ts'
import type { ClusterPlan, VmPlan } from './cluster-file.ts'
import type { DeployerEvent, FetchResult, Part } from './deployer-events.ts'
import type { HostAgent } from './host-agent.ts'
import type { BaseName, StepHooks, TransferPlace } from './host-protocol.ts'
import { ClusterFailedError, forAll, type Place } from './parts.ts'
import type { Storage } from './storage/index.ts'

/** How long hosts may take to begin to listen, milliseconds: from the first of them, and altogether. */
const GATHER_MS = 30_000
const START_TIMEOUT_MS = 120_000

/** How often it is looked whether the cap was changed, milliseconds. */
const CAP_LOOK_MS = 2000

export interface FetchRequest {
  readonly plan: ClusterPlan
  readonly storage: Storage
  readonly vms: readonly VmPlan[]
  readonly base: BaseName
  readonly agent: (host: string) => HostAgent
  readonly hooks: (place: Place) => StepHooks
  readonly emit: (event: DeployerEvent) => void
  readonly signal: AbortSignal
}

/** Brings the template to every host that lacks it, reading the storage once; then to each machine what its image alone has. */
export async function fetchBases(request: FetchRequest): Promise<FetchResult> {
  const { vms, base, agent, hooks, emit } = request
  const hosts = [...new Set(vms.map(({ host }) => host))].map((host) => ({ name: host, host }))
  const found = await forAll(
    'fetch',
    hosts,
    () => undefined,
    (host) => agent(host.name).run({ step: 'find-base', folder: agent(host.name).plan.folder, base }, hooks(host)),
  )
  const lacking = hosts.filter((_, index) => found[index]!.result.path === undefined)
  for (const [index, { result }] of found.entries()) {
    if (result.path !== undefined)
      emit({ operation: 'fetch', host: hosts[index]!.name, kind: 'note', text: 'has the base' })
  }
  const common = await outcomeOf(lacking.length === 0 ? Promise.resolve(0) : multicast(request, lacking))
  const failedHosts = new Set(common.failed.filter(({ error }) => error !== undefined).map(({ host }) => host))
  const own = await outcomeOf(fetchUniques({ ...request, vms: vms.filter(({ host }) => !failedHosts.has(host)) }))
  if (common.result === undefined || own.result === undefined)
    throw new ClusterFailedError('fetch', [...common.failed, ...own.failed])
  return {
    multicastBytes: common.result,
    hosts: found.map(({ name, host, elapsedMs, result }) => ({
      ...{ name, host, elapsedMs, result: { isCached: result.path !== undefined } },
    })),
    vms: own.result,
  }
}

/** What fails for some is not to keep the others from what comes next. */
async function outcomeOf<Result>(
  work: Promise<Result>,
): Promise<{ readonly result?: Result; readonly failed: readonly Part<unknown>[] }> {
  try {
    return { result: await work, failed: [] }
  } catch (error) {
    if (!(error instanceof ClusterFailedError)) throw error
    return { failed: error.parts }
  }
}

/** @returns bytes of packets sent */
async function multicast(request: FetchRequest, hosts: readonly Place[]): Promise<number> {
  const { plan, storage, base, agent, hooks, emit, signal } = request
  const { maxBitrate: plannedCap, interface: network } = plan.transfer
  const place = placeOf(plan.transfer, network)
  const cap = async (): Promise<number | undefined> => (await storage.clusterRecord()).maxBitrate ?? plannedCap
  const { source } = await storage.template()
  const present = await cap()
  const gone = new AbortController()
  const handle = send({
    ...{ source, imageId: base.identity, ...place, minReceivers: hosts.length },
    ...{ maxWaitMs: GATHER_MS, startTimeoutMs: START_TIMEOUT_MS, signal: AbortSignal.any([signal, gone.signal]) },
    ...(present === undefined ? {} : { maxBitrate: present }),
    onProgress: ({ percent, stats }) => {
      const bitsPerSec = stats.rateBitsPerSec
      emit({ operation: 'fetch', kind: 'progress', percent: percent ?? 0, bitsPerSec })
    },
  })
  const timer = setInterval(() => {
    void cap()
      .then((wanted) => {
        if (wanted !== handle.maxBitrate) handle.setMaxBitrate(wanted)
      })
      .catch(() => undefined)
  }, CAP_LOOK_MS)
  const received = forAll('fetch', hosts, emit, (host) => {
    const { folder, interface: hostNetwork } = agent(host.name).plan
    const there = placeOf(plan.transfer, hostNetwork)
    const signal = AbortSignal.any([request.signal, gone.signal])
    return agent(host.name).run({ step: 'receive', folder, base, place: there }, { ...hooks(host), signal })
  })
  // Whoever failed is told by its host; a sender without hosts has nothing to wait for.
  received.catch(() => gone.abort())
  // Without a sender the hosts wait for nothing; those that it could not reach tell so themselves.
  const sent = handle.finished.then(
    ({ stats }) => stats.wireBytes,
    (error: unknown) => {
      if (error instanceof ReceiversFailedError) return error.result.stats.wireBytes
      gone.abort(error)
      throw error
    },
  )
  try {
    return (await Promise.all([sent, received]))[0]
  } finally {
    clearInterval(timer)
    gone.abort()
    // The same command, called again, must not find hosts that still receive.
    await Promise.allSettled([handle.finished, received])
  }
}

/** The same session from an end with a network interface of its own. */
const placeOf = ({ group, ttl, key }: TransferPlace, network: string | undefined): TransferPlace => ({
  ...(group === undefined ? {} : { group }),
  ...(ttl === undefined ? {} : { ttl }),
  ...(key === undefined ? {} : { key }),
  ...(network === undefined ? {} : { interface: network }),
})

async function fetchUniques(request: FetchRequest): Promise<readonly Part<{ copiedBytes: number }>[]> {
  const { plan, storage, vms, base, agent, hooks, emit } = request
  const records = new Map(await Promise.all(vms.map(async ({ name }) => [name, await storage.vmRecord(name)] as const)))
  const own = vms.filter(({ name }) => (records.get(name)?.generation ?? 0) > 0)
  const cap = (await storage.clusterRecord()).maxBitrate ?? plan.transfer.maxBitrate ?? 0
  const bytesPerSec = Math.floor(cap / 8 / Math.max(1, own.length))
  return forAll('fetch', own, emit, async (vm) => {
    const { generation } = records.get(vm.name)!
    const ranges = await storage.uniqueRanges(vm.name, generation)
    const remote = await storage.remoteImage(vm.name, generation)
    const place = { folder: agent(vm.host).plan.folder, cluster: plan.cluster, vm: vm.name }
    return agent(vm.host).run(
      { step: 'fetch-unique', ...place, generation, base, remote, ranges, bytesPerSec },
      hooks(vm),
    )
  })
}
