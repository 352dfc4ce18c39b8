import { reportIntervalMs, type Id64, type Micros } from '../../protocol/index.ts'
import type { Roster } from './roster.ts'

/**
 * Whoever reports, but settles nothing for so long while the session waits for it, microseconds, does not hold it any longer. Ours:
 * longer than any disk sleeps or any network is cut that comes back by itself.
 */
const STALL_US = 600_000_000

/** What the session waits for: receivers whose first slice not settled is in [from, below). */
export interface Waiting {
  /** Since when, without a break. */
  readonly sinceUs: Micros
  readonly from: number
  readonly below: number
}

/** Tells for whom nobody is to wait any longer: who is silent, and who keeps the session open but gets nowhere. */
export class Patience {
  readonly #roster: Roster
  readonly #timeoutUs: Micros
  /** Receivers keep the pace of the group as it was when they last heard of it, however many are done since. */
  #mostGroupCount = 0

  constructor(roster: Roster, timeoutUs: Micros) {
    this.#roster = roster
    this.#timeoutUs = timeoutUs
  }

  /**
   * Whom to drop, and why. To be called often.
   * @param openUs since when all may join: until then, who has only sent a NACK must be silent
   * @param waiting undefined while nobody is waited for
   */
  takeDrops(
    nowUs: Micros,
    openUs: Micros,
    waiting: Waiting | undefined,
  ): readonly { readonly id: Id64; readonly text: string }[] {
    this.#mostGroupCount = Math.max(this.#mostGroupCount, this.#roster.groupCount)
    const intervalUs = 1000 * reportIntervalMs(this.#mostGroupCount)
    this.#roster.noteMute(nowUs, intervalUs)
    const limitUs = Math.max(this.#timeoutUs, 3 * intervalUs)
    const areAllIn = nowUs >= openUs + limitUs
    const silent = this.#roster.silentSince(nowUs - limitUs).filter((id) => areAllIn || this.#roster.isNamed(id))
    const drops = silent.map((id) => ({ id, text: `silent for ${Math.round(limitUs / 1e6)} s` }))
    if (waiting === undefined || nowUs < waiting.sinceUs + STALL_US) return drops
    const stalled = this.#roster.stalledSince(nowUs - STALL_US, waiting.from, waiting.below)
    return [...drops, ...stalled.map((id) => ({ id, text: `settled no slice for ${STALL_US / 1e6} s` }))]
  }
}
