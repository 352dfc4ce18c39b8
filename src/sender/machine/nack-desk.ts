import { aggregationUs, holdoffUs, type Micros, type Nack, type SliceRange } from '../../protocol/index.ts'
import type { FrameWindow } from './frame-window.ts'
import type { Outbox } from './outbox.ts'
import { RepairAllowance } from './repair-allowance.ts'
import type { RepairPlanner } from './repair-planner.ts'
import { ALL_SYMBOLS } from './slice-table.ts'

/** What the sender's answer to a NACK depends on. */
export interface NackState {
  readonly groupCount: number
  readonly grttUs: number
  /** Slices from this on have not been sent to the end: nothing is owed of them yet. */
  readonly passSlice: number
  /** The receiver has said that every slice below this is settled. */
  readonly settledBelow: number
  /** The main pass is under way. */
  readonly isPassing: boolean
  /** Where the NACK came from, and how many symbols the rate allows. */
  readonly address: string
  readonly symbolsPerSec: number
}

/** Slices that one NACK is looked at for, at most: bounds the time that it takes. A receiver asks for the rest later. Ours. */
const MAX_SLICES_PER_NACK = 4096

/** While the main pass lasts, one address has at most such a part of the rate, also when no other asks. Ours. */
const MIN_PASS_SHARER_COUNT = 3

/** Takes NACKs in: has repairs planned, and tells the group what it will get. */
export class NackDesk {
  readonly #window: FrameWindow
  readonly #planner: RepairPlanner
  readonly #outbox: Outbox
  readonly #canReread: boolean
  readonly #sliceSymbols: number
  readonly #allowance: RepairAllowance

  /** @param sliceSymbols source symbols of a full slice */
  constructor(window: FrameWindow, planner: RepairPlanner, outbox: Outbox, canReread: boolean, sliceSymbols: number) {
    this.#sliceSymbols = sliceSymbols
    this.#allowance = new RepairAllowance(sliceSymbols)
    this.#window = window
    this.#planner = planner
    this.#outbox = outbox
    this.#canReread = canReread
  }

  /** @returns false when the receiver needs what can no longer be had; nothing is planned for it then */
  take(nowUs: Micros, nack: Nack, state: NackState): boolean {
    const { passSlice } = state
    // A NACK that comes late, or once more, asks for what may have gone since. Where all can be read again it does no harm.
    const from = this.#canReread ? 0 : state.settledBelow
    const deficits = nack.deficits.filter((asked) => asked.slice >= from && asked.slice < passSlice)
    const missing = disjoint(nack.missing, from, passSlice)
    if (
      !this.#canReread &&
      [...deficits, ...missing].some((asked) => this.#isGone('slice' in asked ? asked.slice : asked.first))
    ) {
      return false
    }
    const dueUs = nowUs + aggregationUs(state.groupCount, state.grttUs)
    const guardUs = holdoffUs(state.groupCount, state.grttUs) / 2
    this.#allowance.open(nowUs, state.address, state.symbolsPerSec, state.isPassing ? MIN_PASS_SHARER_COUNT : 1)
    let looks = MAX_SLICES_PER_NACK
    const ask = (slice: number, deficit: number, heard: number): boolean => {
      if (!this.#allowance.isOpen || looks-- === 0) return false
      const before = this.#planner.pending(slice)
      const pending = this.#planner.ask(nowUs, { slice, deficit, heard }, dueUs, guardUs)
      if (pending === undefined) return true
      const after = this.#planner.pending(slice)
      this.#allowance.take(Math.min(after, this.#sliceSymbols) - Math.min(before, this.#sliceSymbols))
      if (this.#window.has(slice)) this.#outbox.echo(slice, pending)
      else this.#outbox.echoDeferred({ first: slice, count: 1 })
      return true
    }
    for (const { slice, deficit, heard } of deficits) if (!ask(slice, deficit, heard)) return true
    for (const { first, count } of missing) {
      for (let slice = first; slice < first + count; slice++) if (!ask(slice, ALL_SYMBOLS, 0)) return true
    }
    return true
  }

  /** Addresses whose repairs are counted. */
  get addressCount(): number {
    return this.#allowance.addressCount
  }

  /** True when a slice has left memory for good. */
  #isGone(sliceIndex: number): boolean {
    return !this.#canReread && !this.#window.has(sliceIndex)
  }
}

/**
 * The ranges from `least` on and below `limit`, each cut to begin behind the one before: so a NACK never costs more than the image has
 * slices.
 */
function disjoint(ranges: readonly SliceRange[], least: number, limit: number): SliceRange[] {
  const cut: SliceRange[] = []
  let from = least
  for (const { first, count } of ranges) {
    const start = Math.max(first, from)
    const end = Math.min(first + count, limit)
    if (start >= end) continue
    cut.push({ first: start, count: end - start })
    from = end
  }
  return cut
}
