/** Time over which a rate is measured, milliseconds: short enough to follow, long enough not to jump. */
const SPAN_MS = 2000

/** The present rate of something that is counted. */
export class RateMeter {
  readonly #samples: { readonly atMs: number; readonly bytes: number }[] = []

  /** @param atMs time of the count, never going back */
  count(atMs: number, bytes: number): void {
    this.#samples.push({ atMs, bytes })
    while (this.#samples.length > 2 && this.#samples[1]!.atMs <= atMs - SPAN_MS) this.#samples.shift()
  }

  /** Over the last two seconds, or as long as there are counts; 0 before the second. */
  get bitsPerSec(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)]
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0
    return ((last.bytes - first.bytes) * 8000) / (last.atMs - first.atMs)
  }
}
