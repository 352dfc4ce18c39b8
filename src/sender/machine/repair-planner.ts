import { MAX_SYMBOL_COUNT, type Deficit, type Micros } from '../../protocol/index.ts'
import { ALL_SYMBOLS, type SliceTable } from './slice-table.ts'

/** How the planner sees the frames in memory. */
export interface HeldFrames {
  /** Source symbols of a slice in memory; undefined when it is not. */
  sourceSymbolCount(sliceIndex: number): number | undefined
}

/**
 * Turns NACKs into repairs. Per slice it keeps the largest deficit of any receiver: one parity symbol mends a different loss at
 * each. Slices in memory are repaired after the aggregation time; others are deferred until the main pass is over.
 *
 * What receivers lack of a slice that they hold part of goes before slices that are wanted whole: it gives them a buffer back. The
 * other way round, receivers without a free buffer dropped what was sent again, and asked for it again, while what they waited for
 * was behind it (docs/decisions/0012).
 */
export class RepairPlanner {
  readonly #table: SliceTable
  readonly #held: HeldFrames
  /**
   * Slices in memory that are wanted in part, and whole: slice → when it is due, by ascending time, since aggregation changes little.
   * A slice may be in both. Bounded by the window.
   */
  readonly #partly = new Map<number, Micros>()
  readonly #whole = new Map<number, Micros>()
  /** Of slices in `#partly`: so many of the pending symbols. */
  readonly #partlyCounts = new Map<number, number>()
  /** When the last repair symbol of a slice in memory went out. */
  readonly #repairedUs = new Map<number, number>()
  #deferredCount = 0
  #mendFrom = 0

  constructor(table: SliceTable, held: HeldFrames) {
    this.#table = table
    this.#held = held
  }

  /** Slices that wait for the end of the main pass. */
  get deferredCount(): number {
    return this.#deferredCount
  }

  /** Symbols asked for of a slice and not yet sent. */
  pending(sliceIndex: number): number {
    return this.#table.pending(sliceIndex)
  }

  /** Slices in memory that wait for their repair. */
  get dueCount(): number {
    let count = this.#whole.size
    for (const slice of this.#partly.keys()) if (!this.#whole.has(slice)) count++
    return count
  }

  /**
   * Takes one slice's deficit.
   * @param guardUs symbols sent within this time may still be on their way to the receiver that asked
   * @returns symbols now pending; undefined when the group knows already, or what is asked for is on its way. Of a deferred slice
   * the group is told each time, since it has long to wait.
   */
  ask(nowUs: number, asked: Deficit, dueUs: number, guardUs: number): number | undefined {
    const { slice, deficit } = asked
    const pending = this.#table.pending(slice)
    // Only a deferred slice can have as many. A late receiver asks for very many of them, more than once.
    if (pending === ALL_SYMBOLS) return pending
    const sourceCount = this.#held.sourceSymbolCount(slice)
    if (sourceCount === undefined) {
      if (pending === 0) this.#deferredCount++
      if (deficit > pending) this.#table.setPending(slice, deficit)
      return Math.max(deficit, pending)
    }
    const need = this.#need(nowUs, asked, sourceCount, guardUs)
    const isPartly = deficit < sourceCount
    if (need <= (isPartly ? (this.#partlyCounts.get(slice) ?? 0) : pending)) return undefined
    if (need > pending) this.#table.setPending(slice, need)
    if (isPartly) this.#partlyCounts.set(slice, need)
    const due = isPartly ? this.#partly : this.#whole
    if (!due.has(slice)) due.set(slice, dueUs)
    return need
  }

  /** Symbols to send so that a receiver with this deficit gets enough, less those that are on their way to it. */
  #need(nowUs: number, asked: Deficit, sourceCount: number, guardUs: number): number {
    const position = this.#table.cursor(asked.slice)
    const isFresh = nowUs - (this.#repairedUs.get(asked.slice) ?? -Infinity) < guardUs
    if (asked.deficit >= sourceCount) return isFresh ? 0 : sourceCount
    if (position >= asked.heard) {
      // What comes next is new to this receiver; what went out since its last symbol may still arrive.
      const need = asked.deficit - (isFresh ? Math.max(0, position - Math.max(asked.heard, sourceCount)) : 0)
      if (need <= MAX_SYMBOL_COUNT - position) return need
    } else if (isFresh) {
      return 0
    }
    return roundAgain(asked.deficit, sourceCount)
  }

  /** The slice to repair now, if any is due. */
  dueSlice(nowUs: number): number | undefined {
    for (const due of [this.#partly, this.#whole]) {
      const [slice, dueUs] = firstOf(due) ?? [undefined, Infinity]
      if (dueUs <= nowUs) return slice
    }
    return undefined
  }

  /** Whether a slice is due for receivers that hold part of it. */
  isPartly(sliceIndex: number): boolean {
    return this.#partlyCounts.has(sliceIndex)
  }

  /** When the next repair is due. */
  nextDueUs(): number | undefined {
    const dueUs = Math.min(firstOf(this.#partly)?.[1] ?? Infinity, firstOf(this.#whole)?.[1] ?? Infinity)
    return dueUs === Infinity ? undefined : dueUs
  }

  /** Takes the next repair symbol of the slice that {@link dueSlice} gave: its index. */
  takeSymbol(nowUs: number, sliceIndex: number, sourceCount: number): number {
    const pending = this.#table.pending(sliceIndex)
    const partlyCount = this.#partlyCounts.get(sliceIndex)
    const cursor = this.#table.cursor(sliceIndex)
    const isBegun = partlyCount !== undefined || pending < sourceCount
    if (!isBegun && cursor > MAX_SYMBOL_COUNT - pending) this.#table.rewind(sliceIndex)
    this.#table.setPending(sliceIndex, pending - 1)
    this.#repairedUs.set(sliceIndex, nowUs)
    if (partlyCount !== undefined) this.#countPartly(sliceIndex, partlyCount - 1)
    if (pending === 1) this.#forget(sliceIndex)
    return this.#table.advance(sliceIndex)
  }

  #countPartly(sliceIndex: number, count: number): void {
    if (count > 0) {
      this.#partlyCounts.set(sliceIndex, count)
      return
    }
    this.#partlyCounts.delete(sliceIndex)
    this.#partly.delete(sliceIndex)
  }

  /** Nothing of the slice is due any more. */
  #forget(sliceIndex: number): void {
    this.#countPartly(sliceIndex, 0)
    this.#whole.delete(sliceIndex)
  }

  /**
   * A slice leaves memory. What is still pending for it waits for the mending, unless it `isGone` for good: then whoever lacks it
   * will learn that when it asks again.
   */
  evict(sliceIndex: number, isGone: boolean): void {
    this.#repairedUs.delete(sliceIndex)
    if (this.#table.pending(sliceIndex) === 0) return
    this.#forget(sliceIndex)
    if (isGone) this.#table.setPending(sliceIndex, 0)
    else this.#deferredCount++
  }

  /** The next deferred slice to read again, in ascending order and round again; undefined when none waits. */
  takeDeferred(belowSlice: number, isHeld: (sliceIndex: number) => boolean): number | undefined {
    if (this.#deferredCount === 0) return undefined
    for (let round = 0; round < 2; round++) {
      for (;;) {
        const slice = this.#table.nextPending(this.#mendFrom, belowSlice)
        if (slice === undefined) break
        this.#mendFrom = slice + 1
        if (!isHeld(slice)) return slice
      }
      this.#mendFrom = 0
    }
    return undefined
  }

  /** A deferred slice is in memory again: its repair is due at once. */
  restore(nowUs: number, sliceIndex: number, sourceCount: number): void {
    this.#deferredCount--
    const pending = this.#table.pending(sliceIndex)
    if (pending >= sourceCount) {
      this.#table.rewind(sliceIndex)
      this.#table.setPending(sliceIndex, sourceCount)
      this.#whole.set(sliceIndex, nowUs)
      return
    }
    const isRound = pending > MAX_SYMBOL_COUNT - this.#table.cursor(sliceIndex)
    const need = isRound ? roundAgain(pending, sourceCount) : pending
    this.#table.setPending(sliceIndex, need)
    this.#partlyCounts.set(sliceIndex, need)
    this.#partly.set(sliceIndex, nowUs)
  }
}

const firstOf = <Key, Value>(map: ReadonlyMap<Key, Value>): readonly [Key, Value] | undefined => {
  for (const entry of map) return entry
  return undefined
}

/**
 * Symbols to send when they go round again, of which the receiver has some: of all there are it lacks all but (k - deficit), so
 * that share of what is sent helps. At most k.
 */
const roundAgain = (deficit: number, sourceCount: number): number =>
  Math.ceil((deficit * MAX_SYMBOL_COUNT) / (MAX_SYMBOL_COUNT - sourceCount + deficit))
