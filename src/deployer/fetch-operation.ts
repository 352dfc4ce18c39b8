import { randomBytes } from 'node:crypto'
import { ReceiversFailedError, send } from '../sender/index.ts'
import { GROUP_KEY_BYTES } from '../trust/index.ts'
import type { ClusterPlan, VmPlan } from './cluster-file.ts'
import type { DeployerEvent, FetchResult, Part } from './deployer-events.ts'
import type { HostAgent } from './host-agent.ts'
import type { BaseName, StepHooks, StepResults, TransferPlace } from './host-protocol.ts'
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

/**
 * Brings the template to every host that lacks it, reading the storage once; then to each machine what its image alone has.
 * @throws ClusterFailedError with the outcome for every host, and every machine that it came to, when it failed for any
 */
export async function fetchBases(request: FetchRequest): Promise<FetchResult> {
  const { vms, base, agent, hooks, emit, signal } = request
  const hosts = [...new Set(vms.map(({ host }) => host))].map((host) => ({ name: host, host }))
  const looked = await outcomes(
    signal,
    forAll('fetch', hosts, onlyFailures(emit), (host) =>
      agent(host.name).run({ step: 'find-base', folder: agent(host.name).plan.folder, base }, hooks(host)),
    ),
  )
  const found = looked.filter((part) => part.result !== undefined)
  for (const { host, result } of found) {
    if (result!.path !== undefined) emit({ operation: 'fetch', host, kind: 'note', text: 'has the base' })
  }
  const lacking = found.filter(({ result }) => result!.path === undefined)
  const sent = lacking.length === 0 ? { wireBytes: 0, parts: [] } : await multicast(request, lacking)
  const hostParts = looked.map((part) => sent.parts.find(({ name }) => name === part.name) ?? part)
  const lost = new Set(hostParts.filter(isFailed).map(({ host }) => host))
  const own = await fetchUniques({ ...request, vms: vms.filter(({ host }) => !lost.has(host)) })
  const parts = [...hostParts, ...own]
  if (parts.some(isFailed)) throw new ClusterFailedError('fetch', parts)
  return {
    multicastBytes: sent.wireBytes,
    hosts: found.map(({ result, ...part }) => ({ ...part, result: { isCached: result!.path !== undefined } })),
    vms: own,
  }
}

/** What it came to for each: what fails for some is not to keep the others from what comes next. When all is given up, nothing comes next. */
async function outcomes<Result>(
  signal: AbortSignal,
  work: Promise<readonly Part<Result>[]>,
): Promise<readonly Part<Result>[]> {
  try {
    return await work
  } catch (error) {
    if (signal.aborted || !(error instanceof ClusterFailedError)) throw error
    return error.parts as readonly Part<Result>[]
  }
}

const isFailed = (part: Part<unknown>): part is Part<never> => part.error !== undefined

/** For a look that is no news unless it fails. */
const onlyFailures =
  (emit: FetchRequest['emit']) =>
  (event: DeployerEvent): void => {
    if (event.kind === 'failed') emit(event)
  }

/** The cap of the moment, bits per second; undefined: none. What was set while the cluster is there goes before its description. */
async function capOf({ plan, storage }: FetchRequest): Promise<number | undefined> {
  const { maxBitrate = plan.transfer.maxBitrate } = await storage.clusterRecord()
  return maxBitrate ?? undefined
}

/** @returns bytes of packets sent, and what it came to for each host */
async function multicast(
  request: FetchRequest,
  hosts: readonly Place[],
): Promise<{ readonly wireBytes: number; readonly parts: readonly Part<StepResults['receive']>[] }> {
  const { plan, storage, base, agent, hooks, emit, signal } = request
  const place = placeOf(plan.transfer, plan.transfer.interface)
  // Anybody may know the identity of a template. Without a key of the description, this one is for those alone that are asked to receive.
  const freshKey = place.key === undefined ? randomBytes(GROUP_KEY_BYTES) : undefined
  const { source } = await storage.template()
  const present = await capOf(request)
  const gone = new AbortController()
  const handle = send({
    ...{ source, imageId: base.identity, ...place, minReceivers: hosts.length },
    ...(freshKey === undefined ? {} : { key: freshKey }),
    ...{ maxWaitMs: GATHER_MS, startTimeoutMs: START_TIMEOUT_MS, signal: AbortSignal.any([signal, gone.signal]) },
    ...(present === undefined ? {} : { maxBitrate: present }),
    onProgress: ({ percent, stats }) => {
      const bitsPerSec = stats.rateBitsPerSec
      emit({ operation: 'fetch', kind: 'progress', percent: percent ?? 0, bitsPerSec })
    },
  })
  const timer = setInterval(() => {
    void capOf(request)
      .then((wanted) => {
        if (wanted !== handle.maxBitrate) handle.setMaxBitrate(wanted)
      })
      .catch(() => undefined)
  }, CAP_LOOK_MS)
  const received = outcomes(
    signal,
    forAll('fetch', hosts, emit, (host) => {
      const { folder, interface: hostNetwork } = agent(host.name).plan
      const there = placeOf(plan.transfer, hostNetwork)
      const hostSignal = AbortSignal.any([signal, gone.signal])
      const key = freshKey === undefined ? {} : { freshKey: freshKey.toString('hex') }
      return agent(host.name).run(
        { step: 'receive', folder, base, place: there, ...key },
        { ...hooks(host), signal: hostSignal },
      )
    }),
  ).then((parts) => {
    // Whoever failed is told by its host; a sender without hosts has nothing to wait for.
    if (parts.some(isFailed)) gone.abort()
    return parts
  })
  // Without a sender the hosts wait for nothing; those that it could not reach tell so themselves.
  const sent = handle.finished.then(
    ({ stats }) => stats.wireBytes,
    (error: unknown) => {
      if (error instanceof ReceiversFailedError) return error.result.stats.wireBytes
      if (gone.signal.aborted) return 0
      gone.abort(error)
      throw error
    },
  )
  try {
    const [wireBytes, parts] = await Promise.all([sent, received])
    return { wireBytes, parts }
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

async function fetchUniques(request: FetchRequest): Promise<readonly Part<StepResults['fetch-unique']>[]> {
  const { plan, storage, vms, base, agent, hooks, emit, signal } = request
  const looked = await outcomes(
    signal,
    forAll('fetch', vms, onlyFailures(emit), ({ name }) => storage.vmRecord(name)),
  )
  const generations = new Map(looked.map(({ name, result }) => [name, result?.generation ?? 0]))
  const own = vms.filter(({ name }) => generations.get(name)! > 0)
  const cap = (await capOf(request)) ?? 0
  const bytesPerSec = Math.floor(cap / 8 / Math.max(1, own.length))
  const copied = await outcomes(
    signal,
    forAll('fetch', own, emit, async (vm) => {
      const generation = generations.get(vm.name)!
      const ranges = await storage.uniqueRanges(vm.name, generation)
      const remote = await storage.remoteImage(vm.name, generation)
      const place = { folder: agent(vm.host).plan.folder, cluster: plan.cluster, vm: vm.name }
      return agent(vm.host).run(
        { step: 'fetch-unique', ...place, generation, base, remote, ranges, bytesPerSec },
        hooks(vm),
      )
    }),
  )
  return [...looked.filter(isFailed), ...copied]
}
