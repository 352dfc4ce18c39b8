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
