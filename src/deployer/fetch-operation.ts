import { randomBytes } from 'node:crypto'
import { GROUP_KEY_BYTES } from '../trust/index.ts'
import type { ClusterPlan } from './cluster-file.ts'
import type { DeployerEvent, FetchResult, Part } from './deployer-events.ts'
import type { HostAgent } from './host-agent.ts'
import type { BaseName, StepHooks, StepResults, TransferPlace } from './host-protocol.ts'
import { sendBase } from './host/send-base.ts'
import { ClusterFailedError, forAll, type Place } from './parts.ts'
import type { PlacedVm } from './placed-vm.ts'
import type { Storage, VmRecord } from './storage/index.ts'

/** How often it is looked whether the cap was changed, milliseconds. */
const CAP_LOOK_MS = 2000

export interface FetchRequest {
  readonly plan: ClusterPlan
  readonly storage: Storage
  readonly vms: readonly PlacedVm[]
  /** Throws SkilfishError when a machine's image is not one of this cluster and template. */
  readonly require: (vm: PlacedVm) => VmRecord
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
  const hostParts = looked.map((part) => ({
    ...(sent.parts.find(({ name }) => name === part.name) ?? part),
    isHost: true as const,
  }))
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
  const { sender } = plan.transfer
  // Anybody may know the identity of a template. Without a key of the description, this one is for those alone that are asked to receive.
  const key = plan.transfer.key === undefined ? { freshKey: randomBytes(GROUP_KEY_BYTES).toString('hex') } : {}
  const { source, cephConf } = await storage.template()
  const firstCap = await capOf(request)
  let cap = firstCap
  const gone = new AbortController()
  const giveUp = AbortSignal.any([signal, gone.signal])
  let tellCap: (maxBitrate: number | undefined) => void = () => undefined
  const place = placeOf(plan.transfer, sender === undefined ? plan.transfer.interface : agent(sender).plan.interface)
  const sendRequest = {
    ...{ step: 'send' as const, source, base, place, ...key, receiverCount: hosts.length },
    ...(cephConf === undefined ? {} : { cephConf }),
    ...(firstCap === undefined ? {} : { maxBitrate: firstCap }),
  }
  const sendHooks: StepHooks = {
    signal: giveUp,
    onProgress: (percent, bitsPerSec) => emit({ operation: 'fetch', kind: 'progress', percent, bitsPerSec }),
    onCapChange: (listener) => {
      tellCap = listener
      // It may have changed before the sender was ready to hear of it.
      if (cap !== firstCap) listener(cap)
    },
  }
  const sending = sender === undefined ? sendBase(sendRequest, sendHooks) : agent(sender).run(sendRequest, sendHooks)
  // A storage that hangs must not be asked again and again.
  let looking: Promise<void> | undefined
  const timer = setInterval(() => {
    looking ??= capOf(request)
      .then((wanted) => {
        if (wanted !== cap) tellCap(wanted)
        cap = wanted
      })
      .catch(() => undefined)
      .finally(() => (looking = undefined))
  }, CAP_LOOK_MS)
  const received = outcomes(
    signal,
    forAll('fetch', hosts, emit, (host) => {
      const { folder, interface: hostNetwork } = agent(host.name).plan
      const there = placeOf(plan.transfer, hostNetwork)
      const request = { step: 'receive', folder, base, place: there, ...key } as const
      return agent(host.name).run(request, { ...hooks(host), signal: giveUp })
    }),
  ).then((parts) => {
    // Whoever failed is told by its host; a sender without hosts has nothing to wait for.
    if (parts.some(isFailed)) gone.abort()
    return parts
  })
  // Without a sender the hosts wait for nothing; those that it could not reach tell so themselves.
  const sent = sending.then(
    ({ wireBytes }) => wireBytes,
    (error: unknown) => {
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
    await Promise.allSettled([sending, received])
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
  // Without an image a machine has nothing of its own.
  const present = vms.filter(({ record, recordError }) => record !== undefined || recordError !== undefined)
  const looked = await outcomes(
    signal,
    forAll('fetch', present, onlyFailures(emit), (vm) => Promise.resolve(vm).then(request.require)),
  )
  const fit = new Set(looked.filter((part) => !isFailed(part)).map(({ name }) => name))
  const own = present.filter(({ name, record }) => fit.has(name) && record!.generation > 0)
  const cap = (await capOf(request)) ?? 0
  const bytesPerSec = Math.floor(cap / 8 / Math.max(1, own.length))
  const copied = await outcomes(
    signal,
    forAll('fetch', own, emit, async (vm) => {
      const { id: image, generation } = vm.record!
      const ranges = await storage.uniqueRanges(vm.name, generation)
      const remote = await storage.remoteImage(vm.name, generation)
      const place = { folder: agent(vm.host).plan.folder, cluster: plan.cluster, vm: vm.name }
      return agent(vm.host).run(
        { step: 'fetch-unique', ...place, image, generation, base, remote, ranges, bytesPerSec },
        hooks(vm),
      )
    }),
  )
  return [...looked.filter(isFailed), ...copied]
}
