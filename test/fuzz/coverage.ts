import { Session, type Profiler } from 'node:inspector'

/** Code that has run, from the character `start` of a script to `end`, exclusive. */
export interface Stretch {
  readonly url: string
  readonly start: number
  readonly end: number
}

/**
 * Which of this project's code has run: V8's own block coverage, so nothing has to be compiled differently. Reading it takes
 * milliseconds, so it is read once for many inputs.
 */
export class Coverage {
  readonly #session = new Session()
  /** A byte for each character of each script: 1 once it is known to run. */
  readonly #known = new Map<string, Uint8Array>()

  constructor() {
    this.#session.connect()
    this.#session.post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  /** Characters of code that are known to run. */
  get knownCount(): number {
    let count = 0
    for (const known of this.#known.values()) count += known.reduce((sum, one) => sum + one, 0)
    return count
  }

  /** What has run since the call before and is not known. */
  takeNew(): Stretch[] {
    return this.#take()
      .filter(({ url }) => /\/(src|test\/reference)\//.test(url))
      .flatMap((script) => stretchesOf(script, this.#known.get(script.url)))
  }

  /** Makes code known. */
  know(stretches: readonly Stretch[]): void {
    for (const { url, start, end } of stretches) {
      let known = this.#known.get(url)
      if (known === undefined || known.length < end) {
        const longer = new Uint8Array(2 * end)
        longer.set(known ?? [])
        this.#known.set(url, (known = longer))
      }
      known.fill(1, start, end)
    }
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

/**
 * What of a script has run and is not known. V8 joins a block with the one around it where both have run equally often, so
 * blocks by themselves are not always the same; what is in none that has not run, is.
 */
function stretchesOf({ url, functions }: Profiler.ScriptCoverage, known: Uint8Array | undefined): Stretch[] {
  const ranges = functions.flatMap((one) => one.ranges)
  const hasRun = new Uint8Array(ranges.reduce((most, { endOffset }) => Math.max(most, endOffset), 0))
  // What lies within comes after what is around it.
  for (const { startOffset, endOffset, count } of ranges) hasRun.fill(count > 0 ? 1 : 0, startOffset, endOffset)
  const stretches: Stretch[] = []
  for (let at = hasRun.indexOf(1); at !== -1;) {
    if (known?.[at] === 1) {
      at = hasRun.indexOf(1, at + 1)
      continue
    }
    let end = at + 1
    while (hasRun[end] === 1 && known?.[end] !== 1) end++
    stretches.push({ url, start: at, end })
    at = hasRun.indexOf(1, end)
  }
  return stretches
}
