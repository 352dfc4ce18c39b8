import { MAX_SYMBOL_COUNT } from '../../protocol/index.ts'
import type { FecPolicy } from './sender-options.ts'

/** Groups of at least this many receivers get parity unasked under `auto`: in smaller ones repair on request costs less. Ours. */
const FROM_COUNT = 9

/** How far the plan moves towards what a slice needed beyond it, as a share of the way. Ours. */
const RISE_RATIO = 0.25

/**
 * How far it moves down for a slice that needed no more, as a share of what others typically needed beyond it. Three times the rise:
 * so three of four slices need more, whether their needs are much alike or not, and few symbols are sent in vain. Ours.
 */
const FALL_RATIO = 3 * RISE_RATIO

/** But at least by so many symbols. Ours. */
const MIN_FALL_SYMBOLS = 0.25

/** Weight of one slice in what is typical. Ours. */
const TYPICAL_WEIGHT = 1 / 8

/** What one slice asks for beyond the plan counts up to this, symbols: one receiver's burst of losses says little of the next. Ours. */
const MAX_EXCESS_SYMBOLS = 8

/** Who lacks more than this share of a slice came late, was cut off, or drops what it cannot take: parity is not what it needs. Ours. */
const MAX_DEFICIT_RATIO = 0.25

/** Slices whose need is not known yet, at most; the oldest count as they stand. */
const MAX_OPEN_COUNT = 1024

/** A full slice at Ethernet's MTU. The plan is kept for as many source symbols. */
const REFERENCE_COUNT = 182

/** Whatever is asked for, no more than this is planned, for a slice of {@link REFERENCE_COUNT}: anybody can ask. */
const MAX_PLANNED_SYMBOLS = REFERENCE_COUNT * MAX_DEFICIT_RATIO

interface Sent {
  readonly atUs: number
  readonly sourceCount: number
  readonly symbolCount: number
  /** The largest deficit of any receiver so far. */
  deficit: number
}

/**
 * How much parity follows each slice before anybody asks for it. Under `auto` that is what all but a
 * quarter of the slices need at the receiver that lost most: so hardly anything is sent in vain, and for the rest only the few
 * receivers ask that lost still more, however large the group. Learned from the NACKs alone, so it does not matter how losses are
 * distributed, or shared.
 */
export class ProactiveParity {
  readonly #policy: FecPolicy
  /** For a slice of {@link REFERENCE_COUNT} source symbols; fractions wait until they are whole. */
  #plannedSymbols = 0
  /** What a slice that needs more than planned typically needs beyond it, for the same number of symbols. */
  #typicalExcess = 0
  /** Slices sent of late by index, the first sent first. Those that were spared are not among them. */
  readonly #open = new Map<number, Sent>()

  constructor(policy: FecPolicy) {
    this.#policy = policy
  }

  /** Symbols of parity for a slice of so many source symbols. */
  symbolCount(sourceCount: number, groupCount: number): number {
    const room = MAX_SYMBOL_COUNT - sourceCount
    if (this.#policy === 'off') return 0
    if (this.#policy !== 'auto') return Math.min(room, Math.ceil((sourceCount * this.#policy) / 100))
    if (groupCount < FROM_COUNT) return 0
    return Math.min(room, Math.floor(this.#plannedSymbols * scaleOf(sourceCount)))
  }

  /** The slice has been sent, for the first time, with so much parity. */
  noteSent(nowUs: number, slice: number, sourceCount: number, symbolCount: number): void {
    if (this.#policy !== 'auto') return
    this.#open.set(slice, { atUs: nowUs, sourceCount, symbolCount, deficit: 0 })
    for (const [oldest, sent] of this.#open) {
      if (this.#open.size <= MAX_OPEN_COUNT) break
      this.#learn(oldest, sent)
    }
  }

  /** A receiver lacks so many symbols of a slice. */
  noteDeficit(slice: number, deficit: number): void {
    const sent = this.#open.get(slice)
    if (sent !== undefined && deficit <= sent.sourceCount * MAX_DEFICIT_RATIO)
      sent.deficit = Math.max(sent.deficit, deficit)
  }

  /** Learns from slices that were sent before `beforeUs`: whoever lacks symbols of them has asked. */
  learn(beforeUs: number): void {
    for (const [slice, sent] of this.#open) {
      if (sent.atUs >= beforeUs) break
      this.#learn(slice, sent)
    }
  }

  #learn(slice: number, { sourceCount, symbolCount, deficit }: Sent): void {
    this.#open.delete(slice)
    if (deficit === 0) {
      const fall = Math.max(MIN_FALL_SYMBOLS, FALL_RATIO * this.#typicalExcess)
      this.#plannedSymbols = Math.max(0, this.#plannedSymbols - fall)
      return
    }
    const needed = (symbolCount + deficit) / scaleOf(sourceCount)
    const excess = Math.min(MAX_EXCESS_SYMBOLS, Math.max(0, needed - this.#plannedSymbols))
    this.#plannedSymbols = Math.min(MAX_PLANNED_SYMBOLS, this.#plannedSymbols + RISE_RATIO * excess)
    this.#typicalExcess += TYPICAL_WEIGHT * (excess - this.#typicalExcess)
  }
}

/** Needs grow like the spread of the losses: with the root of the number of symbols. */
const scaleOf = (sourceCount: number): number => Math.sqrt(sourceCount / REFERENCE_COUNT)
