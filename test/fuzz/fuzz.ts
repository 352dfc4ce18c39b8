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
   * @returns packets (or decoded inputs) that it stood for
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

/** Inputs between two looks at the coverage. */
const BATCH = 500

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
  let [packets, inputs] = [0, 0]
  const run = async (input: Uint8Array): Promise<void> => {
    const startMs = performance.now()
    try {
      const taken = target.run(input)
      packets += typeof taken === 'number' ? taken : await taken
    } catch (error) {
      throw new FuzzFailure(target.name, input, error)
    }
    inputs++
    const tookMs = performance.now() - startMs
    if (tookMs > MAX_INPUT_MS) throw new FuzzFailure(target.name, input, `took ${Math.round(tookMs)} ms`)
  }
  for (const input of given) await run(input)
  coverage?.takeNew()
  while (packets < options.packets && performance.now() - beganMs < seconds * 1000) {
    const batch = Array.from({ length: BATCH }, () => mutate(random, corpus))
    for (const input of batch) await run(input)
    if (coverage === undefined || coverage.takeNew(true) === 0) continue
    // One of them was new: which one?
    for (const input of batch) {
      await run(input)
      if (coverage.takeNew() > 0) corpus.push(input)
    }
  }
  return { packets, inputs, elapsedMs: performance.now() - beganMs, corpus }
}
