import type { Random } from '../../random.ts'

/** Longest time between two tries, in intervals. */
const MAX_FACTOR = 8

/** Times the repetition of a message that waits for an answer: the interval doubles up to eight times, with jitter. */
export class Retry {
  readonly #random: Random
  readonly #maxFactor: number
  #nextUs = Infinity
  #tryCount = 0

  /** @param maxFactor longest time between two tries, in intervals, 1 or more; default 8 */
  constructor(random: Random, maxFactor: number = MAX_FACTOR) {
    this.#random = random
    this.#maxFactor = maxFactor
  }

  /** When the next try is due; Infinity: not running. */
  get nextUs(): number {
    return this.#nextUs
  }

  /** Tries made since `start`. */
  get tryCount(): number {
    return this.#tryCount
  }

  start(firstUs: number): void {
    this.#nextUs = firstUs
    this.#tryCount = 0
  }

  stop(): void {
    this.#nextUs = Infinity
  }

  /**
   * True when a try is due; the next is scheduled then.
   * @param intervalUs time from the first try to the second
   */
  poll(nowUs: number, intervalUs: number): boolean {
    if (nowUs < this.#nextUs) return false
    const factor = Math.min(this.#maxFactor, 2 ** this.#tryCount++)
    this.#nextUs = nowUs + Math.ceil(intervalUs * factor * (0.75 + 0.5 * this.#random()))
    return true
  }
}
