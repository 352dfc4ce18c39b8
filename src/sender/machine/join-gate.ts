import { FEEDBACK_PER_SEC, JOIN_DRAW_COUNT, JOINS_PER_SEC, MAX_RECEIVER_COUNT } from '../../protocol/index.ts'

/** Receivers that may join at once before the gate closes; as many more at most with each step of it. Ours. */
const BURST_COUNT = 64

/**
 * How often, and how far apart, microseconds, a crowd is told that the gate has closed. Ours: joins that nothing stops grow threefold in
 * 4 ms, and of a large crowd many lose any one packet.
 */
const CLOSING = { times: 3, gapUs: 4_000 } as const

/** Least time between two steps, microseconds. Ours: a part of the Joins of a second that a switch holds without loss. */
const STEP_INTERVAL_US = 50_000

/** The limit of a gate that has just closed: of the largest group, a burst may join. */
const FIRST_LIMIT = Math.floor((JOIN_DRAW_COUNT * BURST_COUNT) / MAX_RECEIVER_COUNT)

/** So many receivers more than have joined may have drawn below the limit: with 95 % confidence when none has. */
const UNSEEN_COUNT = 3

/** Joins beyond what is allowed that count, at most: a crowd obeys the limit within a round trip, strangers do not. Ours. */
const MAX_SURPLUS_COUNT = 64

/**
 * So long after it has closed, microseconds, all of a crowd have heard of it; and so many more Joins that do not count show that it is
 * no crowd. Ours: longer than any round trip, and far from what losses do.
 */
const OBEY_US = 500_000
const MAX_DEFIANT_COUNT = 256

/** The gate is closed for so long in all, microseconds, at most: half as long again as the largest group needs. Ours. */
const MAX_CLOSED_US = Math.round((1.5e6 * MAX_RECEIVER_COUNT) / JOINS_PER_SEC)

/** How long after it has opened again the last have joined, microseconds: a round trip and their spread. Ours. */
const SETTLE_US = 50_000

/**
 * Lets receivers join at a bounded rate, though nobody knows how many wait. Each has drawn a number and may join while the limit
 * that Announce tells is above it. The gate is open, and closes when more have joined at once than is good: then nearly nobody may
 * join, and the limit rises again with each Announce. Those that have joined since, over the limit, show how many still wait, and
 * so by how much it may rise for {@link JOINS_PER_SEC}. Once the main pass is over, whoever is let in is soon done, as are the others:
 * then it rises for {@link FEEDBACK_PER_SEC}, less what these say. Where receivers challenge the session before they join, each of the two
 * messages counts half. Strangers who join in spite of it have it opened for good; those
 * who come no faster than they may could keep it closed, but only for a minute in all.
 */
export class JoinGate {
  readonly #share: number
  #limit: number = JOIN_DRAW_COUNT
  /** How often it has yet to be told that it has closed. */
  #closingCount = 0
  #isMending = false
  /** Receivers that are allowed to come in now; negative when there were more. */
  #allowance = BURST_COUNT
  #allowedUs: number
  /** Receivers that have come in since the gate closed. */
  #joinedCount = 0
  /** Joins that came in spite of it. */
  #defiantCount = 0
  #settledUs = -Infinity
  #closedUs = 0
  /** How long it may yet be closed, as of `closedUs`. */
  #closableUs = MAX_CLOSED_US

  /**
   * @param messageCount messages of a receiver that comes in, each of which is noted: its Join, and in a protected session its Challenge,
   *   by which it is known earlier
   */
  constructor(nowUs: number, messageCount: 1 | 2) {
    this.#allowedUs = nowUs
    this.#share = 1 / messageCount
  }

  /** Draws below this may join. */
  get limit(): number {
    return this.#limit
  }

  /**
   * A receiver has joined, or asked whether the session is live.
   * @returns true when the gate has closed, or opened for good, which the group should hear of at once
   */
  noteJoin(nowUs: number): boolean {
    this.#allow(nowUs)
    if (this.#allowance <= -MAX_SURPLUS_COUNT) return this.#isDefied(nowUs)
    this.#allowance -= this.#share
    this.#joinedCount += this.#share
    if (this.#allowance >= 0 || this.#limit < JOIN_DRAW_COUNT || this.#closableUs <= 0) return false
    this.#closedUs = nowUs
    this.#limit = FIRST_LIMIT
    this.#closingCount = CLOSING.times
    this.#joinedCount = 0
    this.#settledUs = Infinity
    return true
  }

  /** The main pass is over. */
  startMending(nowUs: number): void {
    this.#allow(nowUs)
    this.#isMending = true
  }

  /** One that has joined says something else than a NACK: in the mending phase that leaves less to those who wait. */
  noteFeedback(nowUs: number): void {
    this.#allow(nowUs)
    if (this.#isMending && this.#limit < JOIN_DRAW_COUNT && this.#allowance >= 1) this.#allowance--
  }

  /** An Announce goes out, and may tell a higher limit than the one before. */
  step(nowUs: number): void {
    this.#allow(nowUs)
    this.#closingCount = Math.max(0, this.#closingCount - 1)
    if (this.#limit === JOIN_DRAW_COUNT) return
    const isOverdue = nowUs >= this.#closedUs + this.#closableUs
    const rise = Math.max(0, this.#allowance) / (this.#joinedCount + UNSEEN_COUNT)
    const limit = isOverdue ? JOIN_DRAW_COUNT : Math.floor(this.#limit * (1 + rise))
    if (limit >= JOIN_DRAW_COUNT) this.#open(nowUs, this.#closableUs - (nowUs - this.#closedUs))
    else this.#limit = limit
  }

  /** How long after an Announce the next is wanted, microseconds; Infinity: whenever. Steps wait for what the one before has brought. */
  announceGapUs(grttUs: number): number {
    if (this.#limit === JOIN_DRAW_COUNT) return Infinity
    return this.#closingCount > 0 ? CLOSING.gapUs : Math.max(STEP_INTERVAL_US, 2 * grttUs)
  }

  /** How many receivers there are when so many are live: those that may not join yet included. */
  groupCount(liveCount: number): number {
    const waitingCount = this.#joinedCount * (JOIN_DRAW_COUNT / this.#limit - 1)
    return Math.min(MAX_RECEIVER_COUNT, Math.ceil(liveCount + waitingCount))
  }

  /** When all that waited have joined; Infinity: not before the gate is open. */
  get settledUs(): number {
    return this.#settledUs
  }

  /** A Join comes that is none of a crowd's. True when that opens the gate. */
  #isDefied(nowUs: number): boolean {
    if (this.#limit === JOIN_DRAW_COUNT || nowUs < this.#closedUs + OBEY_US) return false
    if (++this.#defiantCount <= MAX_DEFIANT_COUNT) return false
    this.#open(nowUs, 0)
    return true
  }

  #open(nowUs: number, closableUs: number): void {
    this.#limit = JOIN_DRAW_COUNT
    this.#settledUs = nowUs + SETTLE_US
    this.#closableUs = closableUs
  }

  #allow(nowUs: number): void {
    const due = ((nowUs - this.#allowedUs) * (this.#isMending ? FEEDBACK_PER_SEC : JOINS_PER_SEC)) / 1e6
    this.#allowance = Math.min(BURST_COUNT, this.#allowance + due)
    this.#allowedUs = nowUs
  }
}
