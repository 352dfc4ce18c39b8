import {
  JOIN_WINDOW_US,
  LIMITS,
  MAX_RECEIVER_COUNT,
  MIN_SPREAD_US,
  retryIntervalUs,
  SMALL_GROUP_COUNT,
  spreadUs,
  type ControlMessage,
  type Feedback,
  type Id64,
} from '../../protocol/index.ts'
import type { Random } from '../../random.ts'
import { drawBackoffUs } from './backoff.ts'
import type { ReceiverSession } from './receiver-session.ts'
import { Reporter } from './reporter.ts'
import { Retry } from './retry.ts'

/** Tries to tell the sender that we are done, about 6 s in small groups, before its answer is done without. Ours. */
const MAX_DONE_TRIES = 10

/** Tells the sender that we are here (Join), how far we are (Report), and that we have everything (Done). */
export class Membership {
  readonly #receiver: Id64
  readonly #name: string
  readonly #random: Random
  readonly #join: Retry
  readonly #done: Retry
  readonly #reporter: Reporter
  readonly #draw: number
  #isWaiting = false
  #isDone = false

  /**
   * @param name fit for a message: see `clipText`
   * @param draw a number from 0 to 65,535: while the announced limit is not above it, nothing is said
   */
  constructor(receiver: Id64, name: string, random: Random, draw: number) {
    this.#draw = draw
    this.#receiver = receiver
    this.#name = name
    this.#random = random
    this.#join = new Retry(random)
    this.#done = new Retry(random)
    this.#reporter = new Reporter(random)
  }

  /** When to `poll` next; Infinity: nothing is to be said. */
  get nextUs(): number {
    return Math.min(this.#join.nextUs, this.#done.nextUs, this.#reporter.nextUs)
  }

  /** True when Done has been said so often, and so long ago, that an answer is no longer to be expected. */
  hasGivenUp(nowUs: number): boolean {
    return this.#done.tryCount >= MAX_DONE_TRIES && nowUs >= this.#done.nextUs
  }

  /**
   * Begins to say that we are here and how far, when the sender lets us.
   * @param hasWaited the session was asked after a wait, which has spread the group already
   */
  startJoin(nowUs: number, timing: Feedback, hasWaited: boolean): void {
    this.stop()
    this.#isDone = false
    const windowUs = hasWaited ? MIN_SPREAD_US : JOIN_WINDOW_US
    if (timing.joinLimit <= this.#draw) this.#isWaiting = true
    else this.#enter(nowUs + drawBackoffUs(this.#random, windowUs, MAX_RECEIVER_COUNT, 0), timing)
  }

  /** Takes the limit that an Announce tells. */
  handleAnnounce(nowUs: number, timing: Feedback): void {
    const mayJoin = timing.joinLimit > this.#draw
    if (this.#isWaiting && mayJoin) {
      this.#isWaiting = false
      this.#enter(nowUs + Math.floor(this.#random() * MIN_SPREAD_US), timing)
    } else if (!this.#isWaiting && !mayJoin && this.#isFirstDue) {
      this.stop()
      this.#isWaiting = true
    }
  }

  stopJoin(): void {
    this.#join.stop()
  }

  /** Begins to say that we have everything, and nothing else any more. */
  startDone(nowUs: number, timing: Feedback): void {
    this.#isDone = true
    if (this.#isWaiting) return
    this.stop()
    this.#enter(nowUs + Math.floor(this.#random() * spreadUs(timing.groupCount)), timing)
  }

  /** Says nothing any more. */
  stop(): void {
    this.#isWaiting = false
    this.#join.stop()
    this.#done.stop()
    this.#reporter.stop()
  }

  /** The message to send now, if any. */
  poll(nowUs: number, session: ReceiverSession): ControlMessage | undefined {
    const receiver = this.#receiver
    const name = this.#name
    const intervalUs = retryIntervalUs(session.announce.feedback.groupCount)
    if (this.#join.poll(nowUs, intervalUs)) {
      const settled = session.assembly.settled.longestRanges(LIMITS.rangesPerMessage)
      return { kind: 'join', receiver, name, ...(settled.length === 0 ? {} : { settled }) }
    }
    if (!this.hasGivenUp(nowUs) && this.#done.poll(nowUs, intervalUs)) return { kind: 'done', receiver, name }
    const report = this.#reporter.poll(nowUs, session)
    return report && { kind: 'report', receiver, name, ...report }
  }

  /** True while we have not spoken yet, but are about to. */
  get #isFirstDue(): boolean {
    return this.#join.nextUs < Infinity && this.#join.tryCount === 0
  }

  #enter(firstUs: number, { groupCount, reportIntervalMs }: Feedback): void {
    if (this.#isDone) {
      this.#done.start(firstUs)
      return
    }
    this.#join.start(firstUs)
    // In a large group others give the sender its first samples of the round trip.
    this.#reporter.start(firstUs, reportIntervalMs, groupCount > SMALL_GROUP_COUNT ? this.#random() : 0)
  }
}
