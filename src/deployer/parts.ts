import { SkilfishError } from '../errors.ts'
import { forEach } from './extents.ts'
import type { DeployerEvent, Operation, Part } from './deployer-events.ts'

/** Machines or hosts that are worked at at the same time. */
const PARALLEL_COUNT = 64

/** An operation failed for some: `parts` has the outcome of each, also of those where it did not. */
export class ClusterFailedError extends SkilfishError {
  readonly parts: readonly Part<unknown>[]

  constructor(operation: Operation, parts: readonly Part<unknown>[]) {
    const failed = parts.filter(({ error }) => error !== undefined)
    const reasons = failed.map(({ name, error }) => `  ${name}: ${error!.message}`)
    const verb = { status: 'show', up: 'bring up' }[operation as string] ?? operation
    super('CLUSTER_FAILED', `cannot ${verb} ${failed.length} of ${parts.length}:\n${reasons.join('\n')}`)
    this.name = 'ClusterFailedError'
    this.parts = parts
  }
}

/** Who is worked at. */
export interface Place {
  readonly name: string
  readonly host: string
}

/**
 * Does the same for many, side by side: what happens to one is nothing to the others.
 * @param work rejects with what went wrong; others than SkilfishErrors are faults of this program, and end all
 * @throws ClusterFailedError when it failed for any
 */
export async function forAll<Item extends Place, Result>(
  operation: Operation,
  items: readonly Item[],
  emit: (event: DeployerEvent) => void,
  work: (item: Item) => Promise<Result>,
  parallelCount: number = PARALLEL_COUNT,
): Promise<readonly (Part<Result> & { readonly result: Result })[]> {
  const parts = new Map<Item, Part<Result>>()
  await forEach(items, parallelCount, async (item) => {
    const { name, host } = item
    const startedMs = performance.now()
    const elapsed = (): number => performance.now() - startedMs
    const subject = name === host ? { host } : { vm: name, host }
    emit({ operation, ...subject, kind: 'begun' })
    try {
      const result = await work(item)
      parts.set(item, { name, host, elapsedMs: elapsed(), result })
      emit({ operation, ...subject, kind: 'done', elapsedMs: elapsed() })
    } catch (error) {
      if (!(error instanceof SkilfishError)) throw error
      const { code, message } = error
      parts.set(item, { name, host, elapsedMs: elapsed(), error: { code, message } })
      emit({ operation, ...subject, kind: 'failed', text: message, elapsedMs: elapsed() })
    }
  })
  const all = items.map((item) => parts.get(item)!)
  if (all.some(({ error }) => error !== undefined)) throw new ClusterFailedError(operation, all)
  return all as readonly (Part<Result> & { readonly result: Result })[]
}

/**
 * Does one operation after another, each for the machines that did not fail before.
 * @param operations each resolves with the outcome for its machines, or rejects with ClusterFailedError
 * @throws ClusterFailedError when any failed for any
 */
export async function inTurn(
  vms: readonly Place[],
  operations: readonly ((choice: { readonly vms: readonly string[] }) => Promise<readonly Part<unknown>[]>)[],
): Promise<void> {
  const failed: Part<unknown>[] = []
  const done = new Map<string, Part<unknown>>()
  let left = vms
  for (const operation of operations) {
    if (left.length === 0) break
    const parts = await operation({ vms: left.map(({ name }) => name) }).catch((error: unknown) => {
      if (error instanceof ClusterFailedError) return error.parts
      // Those that have failed before are told too.
      if (failed.length === 0 || !(error instanceof SkilfishError)) throw error
      const { code, message } = error
      return left.map(({ name, host }): Part<unknown> => ({ name, host, elapsedMs: 0, error: { code, message } }))
    })
    for (const part of parts) if (part.error === undefined && part.isHost !== true) done.set(part.name, part)
    const hosts = new Map(parts.flatMap(({ host, isHost, error }) => (isHost && error ? [[host, error] as const] : [])))
    const own = new Map(parts.flatMap((part) => (!part.isHost && part.error ? [[part.name, part] as const] : [])))
    // With a host its machines are out.
    const outOf = ({ name, host }: Place): Part<unknown> | undefined =>
      own.get(name) ?? (hosts.has(host) ? { name, host, elapsedMs: 0, error: hosts.get(host)! } : undefined)
    failed.push(...left.flatMap((vm) => outOf(vm) ?? []))
    left = left.filter((vm) => outOf(vm) === undefined)
  }
  if (failed.length > 0) throw new ClusterFailedError('up', [...left.map(({ name }) => done.get(name)!), ...failed])
}
