import { Session, type Profiler } from 'node:inspector'

/**
 * Which blocks of this project's code have run: V8's own block coverage, so nothing has to be compiled differently. Reading it takes
 * milliseconds, so it is read once for many inputs.
 */
export class Coverage {
  readonly #session = new Session()
  readonly #seen = new Set<string>()

  constructor() {
    this.#session.connect()
    this.#session.post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  /** Blocks that are known. */
  get blockCount(): number {
    return this.#seen.size
  }

  /** Blocks that have run since the call before and are not known. */
  takeNew(): string[] {
    const fresh: string[] = []
    for (const { url, functions } of this.#take()) {
      if (!/\/(src|test\/reference)\//.test(url)) continue
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          const block = `${url}:${startOffset}:${endOffset}`
          if (count > 0 && !this.#seen.has(block)) fresh.push(block)
        }
      }
    }
    return fresh
  }

  /** Makes blocks known. */
  know(blocks: readonly string[]): void {
    for (const block of blocks) this.#seen.add(block)
  }

  stop(): void {
    this.#session.disconnect()
  }

  #take(): readonly Profiler.ScriptCoverage[] {
    let result: readonly Profiler.ScriptCoverage[] = []
    // Within one thread the answer comes before `post` returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error !== null) throw error
      result = answer.result
    })
    return result
  }
}
