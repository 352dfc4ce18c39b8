import { seededRandom } from '../../src/random.ts'
import type { Coverage } from './coverage.ts'
import { mutate } from './mutator.ts'

/** Something that takes any bytes. */
export interface FuzzTarget {
  readonly name: string
  /** Inputs made from real messages, to begin with. */
  readonly seeds: () => readonly Uint8Array[]
  /**
   * Takes an input. Throws (or rejects) when anything happens that must not.
   * @returns packets that it stood for: for a decoder one, for a machine those that it was given before it ended
   */
  readonly run: (input: Uint8Array) => number | Promise<number>
}

export interface FuzzResult {
  readonly packets: number
  readonly inputs: number
  readonly elapsedMs: number
  /** Those that were given, and those that reached something new. */
  readonly corpus: readonly Uint8Array[]
}

/** Inputs between two looks at the coverage: the more, the less there is left to find. */
const MIN_BATCH = 500
const MAX_BATCH = 16_000

/** One input takes no longer than this, milliseconds, whatever is in it. A machine under load is slow, but not so slow. */
const MAX_INPUT_MS = 5000

/** An input that broke something. */
export class FuzzFailure extends Error {
  readonly input: Uint8Array

  constructor(target: string, input: Uint8Array, cause: unknown) {
    const hex = Buffer.from(input).toString('hex')
    const text = cause instanceof Error ? cause.message : String(cause)
    super(`${target}: ${text}\nreplay: npm run fuzz -- --target ${target} --input ${hex}`, { cause })
    this.input = input
  }
}

/**
 * Runs a target on the corpus, then on mutations of it, until so many packets have been taken or the time is over. Without a
 * time the same seed makes the same inputs. With a coverage, an input that reaches code which none before has reached joins the corpus.
 * @throws FuzzFailure
 */
export async function fuzz(
  target: FuzzTarget,
  given: readonly Uint8Array[],
  options: { readonly packets: number; readonly seconds?: number; readonly seed: number; readonly coverage?: Coverage },
): Promise<FuzzResult> {
  const { coverage, seconds = Infinity } = options
  const random = seededRandom(options.seed)
  const corpus = [...given]
  const beganMs = performance.now()
  let packets = await runAll(target, given)
  let inputs = given.length
  coverage?.know(coverage.takeNew())
  let batchSize = MIN_BATCH
  while (packets < options.packets && performance.now() - beganMs < seconds * 1000) {
    const batch = Array.from({ length: batchSize }, () => mutate(random, corpus))
    packets += await runAll(target, batch)
    inputs += batch.length
    if (coverage === undefined) continue
    const fresh = coverage.takeNew()
    if (fresh.length > 0) corpus.push(...(await findNew(target, batch, coverage)))
    // Also what came only once, as the compiler's work does: or it would be looked for again after each batch.
    coverage.know(fresh)
    batchSize = fresh.length > 0 ? Math.max(MIN_BATCH, batchSize >> 2) : Math.min(MAX_BATCH, batchSize * 2)
  }
  return { packets, inputs, elapsedMs: performance.now() - beganMs, corpus }
}

/** @returns packets */
async function runAll(target: FuzzTarget, inputs: readonly Uint8Array[]): Promise<number> {
  let packets = 0
  for (const input of inputs) {
    try {
      const startMs = performance.now()
      packets += await target.run(input)
      // Once it may have been the machine.
      if (performance.now() - startMs > MAX_INPUT_MS) await runInTime(target, input)
    } catch (error) {
      throw new FuzzFailure(target.name, input, error)
    }
  }
  return packets
}

async function runInTime(target: FuzzTarget, input: Uint8Array): Promise<void> {
  const startMs = performance.now()
  await target.run(input)
  const tookMs = performance.now() - startMs
  if (tookMs > MAX_INPUT_MS) throw new Error(`took ${Math.round(tookMs)} ms`)
}

/** Those of the inputs that reach what none before has reached: runs them again by halves, as reading the coverage takes long. */
async function findNew(
  target: FuzzTarget,
  inputs: readonly Uint8Array[],
  coverage: Coverage,
): Promise<readonly Uint8Array[]> {
  const found: Uint8Array[] = []
  const half = Math.ceil(inputs.length / 2)
  for (const part of [inputs.slice(0, half), inputs.slice(half)]) {
    await runAll(target, part)
    const fresh = coverage.takeNew()
    if (fresh.length === 0) continue
    if (part.length > 1) found.push(...(await findNew(target, part, coverage)))
    else {
      found.push(...part)
      coverage.know(fresh)
    }
  }
  return found
}
