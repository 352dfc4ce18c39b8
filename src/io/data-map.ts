import type { DataFinder } from './data-finder.ts'

/** Runs of data that are looked up at most: two system calls each. A file with more of them is not mapped. Our choice: some milliseconds. */
const MAX_RUN_COUNT = 4096

/** How much of a file's data lies before an offset: what progress is measured by, so that holes count for nothing. */
export class DataMap {
  readonly #starts: readonly number[]
  /** Bytes of data before each run, and in all of them. */
  readonly #before: readonly number[]

  private constructor(starts: readonly number[], before: readonly number[]) {
    this.#starts = starts
    this.#before = before
  }

  /** @returns undefined for a file with too many runs */
  static of(finder: DataFinder): DataMap | undefined {
    const starts: number[] = []
    const before = [0]
    for (let run = finder.next(0); run !== undefined; run = finder.next(run.end)) {
      if (starts.length === MAX_RUN_COUNT) return undefined
      starts.push(run.start)
      before.push(before.at(-1)! + run.end - run.start)
    }
    return new DataMap(starts, before)
  }

  /** Bytes of data before an offset. */
  before(offset: number): number {
    const next = this.#starts.findIndex((start) => start >= offset)
    const index = (next === -1 ? this.#starts.length : next) - 1
    if (index < 0) return 0
    return Math.min(this.#before[index]! + offset - this.#starts[index]!, this.#before[index + 1]!)
  }
}
