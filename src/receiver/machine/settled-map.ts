import BitSet from 'bitset'
import type { SliceRange } from '../../protocol/index.ts'

const WORD_BITS = 32

/** Ranges looked at to find the longest: bounds the time that it takes. Ours. */
const MAX_SEARCHED_RANGES = 4096

/** Index of the lowest bit set; `word` is not 0. */
const lowestBit = (word: number): number => 31 - Math.clz32(word & -word)

/** Which slices are settled: one bit each, searched a word at a time. */
export class SettledMap {
  readonly #bits = new BitSet()
  #count = 0
  #low = 0
  #end = 0

  get count(): number {
    return this.#count
  }

  /** Every slice below this one is settled; this one is not. */
  get low(): number {
    return this.#low
  }

  /** Every slice from this one on is not settled. */
  get end(): number {
    return this.#end
  }

  has(slice: number): boolean {
    return slice < this.#low || this.#bits.get(slice) === 1
  }

  /** How many slices in [from, below) are not settled. */
  unsettledCount(from: number, below: number): number {
    let count = 0
    for (let at = this.nextUnsettled(from); at < below; at = this.nextUnsettled(at)) {
      const end = this.nextSettled(at, below)
      count += end - at
      at = end
    }
    return count
  }

  /** The longest ranges of settled slices, ascending: up to `maxCount` of those that a bounded search finds. */
  longestRanges(maxCount: number): SliceRange[] {
    const ranges: SliceRange[] = []
    for (let at = this.nextSettled(0, this.#end); at < this.#end && ranges.length < MAX_SEARCHED_RANGES;) {
      const end = this.nextUnsettled(at)
      ranges.push({ first: at, count: end - at })
      at = this.nextSettled(end, this.#end)
    }
    const longest = ranges.toSorted((left, right) => right.count - left.count).slice(0, maxCount)
    return longest.toSorted((left, right) => left.first - right.first)
  }

  /** Returns false when it was settled before. */
  add(slice: number): boolean {
    if (this.has(slice)) return false
    this.#bits.set(slice)
    this.#count++
    this.#end = Math.max(this.#end, slice + 1)
    if (slice === this.#low) this.#low = this.nextUnsettled(slice)
    return true
  }

  /** First slice from `from` on that is not settled. */
  nextUnsettled(from: number): number {
    return this.#next(Math.max(from, this.#low), -1)
  }

  /** First slice from `from` on that is settled, but no further than `below`. */
  nextSettled(from: number, below: number): number {
    return from < this.#low ? Math.min(from, below) : Math.min(this.#next(from, 0, below), below)
  }

  /** First bit that, after exclusive or with `flip`, is set; without a `below`, there must be one (behind the last word: 0). */
  #next(from: number, flip: number, below = Infinity): number {
    const words = this.#bits.data
    let index = Math.floor(from / WORD_BITS)
    let mask = -1 << (from % WORD_BITS)
    for (; index < words.length && index * WORD_BITS < below; index++) {
      const word = (words[index]! ^ flip) & mask
      if (word !== 0) return index * WORD_BITS + lowestBit(word)
      mask = -1
    }
    return flip === 0 ? below : Math.max(from, index * WORD_BITS)
  }
}
