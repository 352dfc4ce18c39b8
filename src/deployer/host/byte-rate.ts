import { setTimeout as delay } from 'node:timers/promises'

/** Keeps copies to a rate on the average since the first, and tells what it was. */
export class ByteRate {
  /** What was copied. */
  totalBytes = 0
  #takenBytes = 0
  readonly #bytesPerSec: number
  readonly #startedMs = performance.now()

  /** @param bytesPerSec 0 for no cap */
  constructor(bytesPerSec: number) {
    this.#bytesPerSec = bytesPerSec
  }

  get bitsPerSec(): number {
    return (8000 * this.totalBytes) / Math.max(1, performance.now() - this.#startedMs)
  }

  /** Waits until so many bytes more may be copied. @throws the reason of the signal, at once */
  async take(byteCount: number, signal: AbortSignal): Promise<void> {
    const dueMs = this.#bytesPerSec === 0 ? 0 : this.#startedMs + (1000 * this.#takenBytes) / this.#bytesPerSec
    this.#takenBytes += byteCount
    const waitMs = dueMs - performance.now()
    // Its own error would not tell the reason.
    if (waitMs > 0) await delay(waitMs, undefined, { signal }).catch(() => undefined)
    signal.throwIfAborted()
  }

  /** So many bytes more were copied. */
  done(byteCount: number): void {
    this.totalBytes += byteCount
  }
}
