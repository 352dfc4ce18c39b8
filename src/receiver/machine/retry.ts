import { RETRY_INTERVAL_US } from '../../protocol/index.ts'
import type { Random } from '../../random.ts'

/** Longest time between two tries, in intervals. */
const MAX_FACTOR = 8

/** Times the repetition of a message that waits for an answer: the interval doubles up to eight times, with jitter. */
export class Retry {
  readonly #random: Random
  #nextUs = Infinity
  #tryCount = 0

  constructor(random: Random) {
    this.#random = random
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
   * @param leastUs shortest time to the next: large groups ask for more
   */
  poll(nowUs: number, leastUs: number): boolean {
    if (nowUs < this.#nextUs) return false
    const factor = Math.min(MAX_FACTOR, 2 ** this.#tryCount++)
    const waitUs = Math.max(leastUs, RETRY_INTERVAL_US * factor) * (0.75 + 0.5 * this.#random())
    this.#nextUs = nowUs + Math.ceil(waitUs)
    return true
  }
}
