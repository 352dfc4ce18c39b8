import { SMALL_GROUP_COUNT, type ControlMessage, type Feedback, type Id64 } from '../../protocol/index.ts'
import type { Random } from '../../random.ts'
import type { ReceiverSession } from './receiver-session.ts'
import { Reporter } from './reporter.ts'
import { Retry } from './retry.ts'

/** Receivers of a small group come and go within this time of each other, microseconds. Ours. */
const SMALL_GROUP_SPREAD_US = 10_000

/** Tries to tell the sender that we are done, about 6 s, before its answer is done without. Ours. */
const MAX_DONE_TRIES = 10

/** Tells the sender that we are here (Join), how far we are (Report), and that we have everything (Done). */
export class Membership {
  readonly #receiver: Id64
  readonly #name: string
  readonly #random: Random
  readonly #join: Retry
  readonly #done: Retry
  readonly #reporter: Reporter

  /** @param name fit for a message: see `clipText` */
  constructor(receiver: Id64, name: string, random: Random) {
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

  /** How full the driver's queues are, 0 to 100. */
  set queuePercent(percent: number) {
    this.#reporter.queuePercent = percent
  }

  /** Begins to say that we are here and how far. */
  startJoin(nowUs: number, timing: Feedback): void {
    const firstUs = nowUs + this.#drawSpreadUs(timing)
    this.#join.start(firstUs)
    this.#reporter.start(firstUs)
  }

  stopJoin(): void {
    this.#join.stop()
  }

  /** Begins to say that we have everything, and nothing else any more. */
  startDone(nowUs: number, timing: Feedback): void {
    this.stop()
    this.#done.start(nowUs + this.#drawSpreadUs(timing))
  }

  /** Says nothing any more. */
  stop(): void {
    this.#join.stop()
    this.#done.stop()
    this.#reporter.stop()
  }

  /** The message to send now, if any. */
  poll(nowUs: number, session: ReceiverSession): ControlMessage | undefined {
    const receiver = this.#receiver
    const name = this.#name
    const { reportIntervalMs, groupCount } = session.announce.feedback
    const leastUs = groupCount > SMALL_GROUP_COUNT ? reportIntervalMs * 1000 : 0
    if (this.#join.poll(nowUs, leastUs)) return { kind: 'join', receiver, name }
    if (!this.hasGivenUp(nowUs) && this.#done.poll(nowUs, leastUs)) return { kind: 'done', receiver, name }
    if (nowUs < this.#reporter.nextUs) return undefined
    return { kind: 'report', receiver, name, ...this.#reporter.make(nowUs, session) }
  }

  /** Delay of what all receivers want to say at the same moment. */
  #drawSpreadUs({ groupCount, reportIntervalMs }: Feedback): number {
    const spreadUs = groupCount > SMALL_GROUP_COUNT ? reportIntervalMs * 1000 : SMALL_GROUP_SPREAD_US
    return Math.floor(this.#random() * spreadUs)
  }
}
