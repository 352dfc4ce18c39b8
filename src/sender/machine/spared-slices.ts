import type { SliceRange } from '../../protocol/index.ts'

/** Ranges kept at most, so that many receivers with many holes cost little; the shortest are given up. Ours. */
const MAX_RANGES = 256

/**
 * The slices that every receiver has settled before it joined, in an earlier session: the main pass leaves them out. That is not
 * what completeness rests on: who lacks one of them all the same, or joins later, asks for it like for any other.
 */
export class SparedSlices {
  readonly #canReread: boolean
  /** By ascending start; undefined before the first Join. */
  #ranges: readonly SliceRange[] | undefined
  #count = 0

  /** @param canReread false: a slice that is not sent is gone for good, and none is spared */
  constructor(canReread: boolean) {
    this.#canReread = canReread
  }

  /** Slices that were passed over. */
  get count(): number {
    return this.#count
  }

  /** A receiver joins, and says that it has settled these. */
  note(settled: readonly SliceRange[]): void {
    const own = inOrder(settled)
    const common = this.#ranges === undefined ? own : intersection(this.#ranges, own)
    this.#ranges = common.length <= MAX_RANGES ? common : inOrder(longest(common))
  }

  /**
   * Goes over slices that are spared and in memory: those to come have not been read yet.
   * @param from the slice to send next: no lower than in any call before
   * @returns the slice to send next in its place
   */
  passOver(from: number, held: { has(slice: number): boolean }): number {
    let slice = from
    while (this.#has(slice) && held.has(slice)) slice++
    this.#count += slice - from
    return slice
  }

  #has(slice: number): boolean {
    while (this.#ranges?.[0] !== undefined && endOf(this.#ranges[0]) <= slice) this.#ranges = this.#ranges.slice(1)
    const next = this.#canReread ? this.#ranges?.[0] : undefined
    return next !== undefined && next.first <= slice
  }
}

const endOf = ({ first, count }: SliceRange): number => first + count

const longest = (ranges: readonly SliceRange[]): SliceRange[] =>
  ranges.toSorted((left, right) => right.count - left.count).slice(0, MAX_RANGES)

const inOrder = (ranges: readonly SliceRange[]): SliceRange[] =>
  ranges.toSorted((left, right) => left.first - right.first)

/** What is in both; a slice that several ranges of one side hold counts once. */
function intersection(left: readonly SliceRange[], right: readonly SliceRange[]): SliceRange[] {
  const common: SliceRange[] = []
  let [at, of] = [0, 0]
  while (at < left.length && of < right.length) {
    const [one, other] = [left[at]!, right[of]!]
    const first = Math.max(one.first, other.first, common.length === 0 ? 0 : endOf(common.at(-1)!))
    const end = Math.min(endOf(one), endOf(other))
    if (first < end) common.push({ first, count: end - first })
    if (endOf(one) < endOf(other)) at++
    else of++
  }
  return common
}
