/** Ranges kept at most: beyond, neighbours are merged, so that some slices may be quiet without need. */
const MAX_RANGE_COUNT = 256

interface QuietRange {
  readonly first: number
  /** One past the last. */
  readonly end: number
  readonly untilUs: number
}

/**
 * Until when no NACK is to name slices of which nothing is held: ranges, since a receiver that comes late lacks very many. That a
 * range covers slices held or settled does not matter.
 */
export class QuietRanges {
  /** Ascending, not overlapping. */
  #ranges: QuietRange[] = []

  get count(): number {
    return this.#ranges.length
  }

  /** Slices `first` to `end` - 1 are quiet until `untilUs`, or longer where they were before. */
  add(nowUs: number, first: number, end: number, untilUs: number): void {
    const next: QuietRange[] = []
    let at = first
    const put = (from: number, to: number, until: number): void => {
      if (from >= to || until <= nowUs) return
      const last = next.at(-1)
      if (last?.end === from && last.untilUs === until) next[next.length - 1] = { ...last, end: to }
      else next.push({ first: from, end: to, untilUs: until })
    }
    for (const range of this.#ranges) {
      if (range.first >= end) {
        put(at, end, untilUs)
        at = Math.max(at, end)
      }
      put(range.first, Math.min(range.end, first), range.untilUs)
      if (range.end > first && range.first < end) {
        put(at, range.first, untilUs)
        at = Math.min(range.end, end)
        put(Math.max(range.first, first), at, Math.max(range.untilUs, untilUs))
      }
      put(Math.max(range.first, end), range.end, range.untilUs)
    }
    put(at, end, untilUs)
    this.#ranges = next.length > MAX_RANGE_COUNT ? halve(next) : next
  }

  /** The slice is no longer quiet. */
  wake(slice: number): void {
    this.#ranges = this.#ranges.flatMap((range) =>
      slice < range.first || slice >= range.end
        ? [range]
        : [
            { ...range, end: slice },
            { ...range, first: slice + 1 },
          ].filter(({ first, end }) => first < end),
    )
  }

  /** No range lasts beyond `untilUs`. */
  limit(untilUs: number): void {
    this.#ranges = this.#ranges.map((range) => ({ ...range, untilUs: Math.min(range.untilUs, untilUs) }))
  }

  clear(): void {
    this.#ranges = []
  }

  /** First slice from `slice` on that is not quiet now. */
  nextLoud(nowUs: number, slice: number): number {
    let loud = slice
    for (const range of this.#ranges) {
      if (range.first > loud) break
      if (range.end > loud && range.untilUs > nowUs) loud = range.end
    }
    return loud
  }

  /** First slice from `slice` on that is quiet now, but no further than `below`. */
  nextQuiet(nowUs: number, slice: number, below: number): number {
    for (const range of this.#ranges) {
      if (range.first >= below) break
      if (range.end > slice && range.untilUs > nowUs) return Math.max(slice, range.first)
    }
    return below
  }

  /** When the next range below `below` ends; Infinity when none is quiet. */
  nextExpiryUs(nowUs: number, below: number): number {
    let next = Infinity
    for (const { first, untilUs } of this.#ranges) {
      if (first < below && untilUs > nowUs && untilUs < next) next = untilUs
    }
    return next
  }
}

/** Merges each two neighbours; they end with the earlier one. */
function halve(ranges: readonly QuietRange[]): QuietRange[] {
  const merged: QuietRange[] = []
  for (let index = 0; index < ranges.length; index += 2) {
    const left = ranges[index]!
    const right = ranges[index + 1] ?? left
    merged.push({ first: left.first, end: right.end, untilUs: Math.min(left.untilUs, right.untilUs) })
  }
  return merged
}
