import { MAX_SYMBOL_COUNT } from '../../protocol/index.ts'

/** Most symbols that one repair of a slice sends: all there are. */
export const ALL_SYMBOLS: number = MAX_SYMBOL_COUNT

const FIRST_CAPACITY = 1024

/**
 * What the sender keeps of every slice for the whole session, 2 bytes each: the cursor (index of the symbol to send
 * next; after 254 it goes round to 0), and how many more symbols are asked for.
 */
export class SliceTable {
  #cursors = new Uint8Array(FIRST_CAPACITY)
  #pending = new Uint8Array(FIRST_CAPACITY)

  /** Makes room for slices 0 to `sliceIndex`. */
  reach(sliceIndex: number): void {
    if (sliceIndex < this.#pending.length) return
    const capacity = Math.max(this.#pending.length * 2, sliceIndex + 1)
    const cursors = new Uint8Array(capacity)
    cursors.set(this.#cursors)
    this.#cursors = cursors
    const pending = new Uint8Array(capacity)
    pending.set(this.#pending)
    this.#pending = pending
  }

  pending(sliceIndex: number): number {
    return this.#pending[sliceIndex]!
  }

  setPending(sliceIndex: number, symbolCount: number): void {
    this.#pending[sliceIndex] = symbolCount
  }

  /** First slice in [from, below) with something pending; undefined when there is none. */
  nextPending(from: number, below: number): number | undefined {
    for (let index = from; index < below; index++) if (this.#pending[index] !== 0) return index
    return undefined
  }

  cursor(sliceIndex: number): number {
    return this.#cursors[sliceIndex]!
  }

  /** Begins the slice again at symbol 0. */
  rewind(sliceIndex: number): void {
    this.#cursors[sliceIndex] = 0
  }

  /** Index of the symbol to send next; the cursor moves on. */
  advance(sliceIndex: number): number {
    const cursor = this.#cursors[sliceIndex]!
    this.#cursors[sliceIndex] = (cursor + 1) % MAX_SYMBOL_COUNT
    return cursor
  }
}
