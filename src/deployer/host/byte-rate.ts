import { setTimeout as delay } from 'node:timers/promises'

/** What may be caught up with after a while in which nothing could be copied, milliseconds of the rate. */
const MAX_CREDIT_MS = 1000

/** Keeps copies to a rate, in any second to twice of it at the most, and tells what it was on the average since the first. */
export class ByteRate {
  /** What was copied. */
  totalBytes = 0
  readonly #bytesPerSec: number
  readonly #now: () => number
  readonly #startedMs: number
  /** When the next copy may begin. */
  #dueMs: number

  /**
   * @param bytesPerSec 0 for no cap
   * @param now a clock that never goes back, milliseconds
   */
  constructor(bytesPerSec: number, now: () => number = () => performance.now()) {
    this.#bytesPerSec = bytesPerSec
    this.#now = now
    this.#startedMs = this.#dueMs = now()
  }

  get bitsPerSec(): number {
    return (8000 * this.totalBytes) / Math.max(1, this.#now() - this.#startedMs)
  }

  /** Waits until so many bytes more may be copied. @throws the reason of the signal, at once */
  async take(byteCount: number, signal: AbortSignal): Promise<void> {
    const nowMs = this.#now()
    const dueMs = Math.max(this.#dueMs, nowMs - MAX_CREDIT_MS)
    if (this.#bytesPerSec > 0) this.#dueMs = dueMs + (1000 * byteCount) / this.#bytesPerSec
    const waitMs = dueMs - nowMs
    // Its own error would not tell the reason.
    if (waitMs > 0) await delay(waitMs, undefined, { signal }).catch(() => undefined)
    signal.throwIfAborted()
  }

  /** So many bytes more were copied. */
  done(byteCount: number): void {
    this.totalBytes += byteCount
  }
}
