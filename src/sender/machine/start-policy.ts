import type { Micros } from '../../protocol/index.ts'
import type { JoinGate } from './join-gate.ts'
import type { SenderMachineOptions } from './sender-options.ts'

/** After the last join the start waits this long for more, microseconds: receivers started together join together. Ours. */
const JOIN_SETTLE_US = 50_000

/** But no longer than this after the first join, microseconds. Ours. */
const JOIN_SETTLE_LIMIT_US = 1_000_000

type StartOptions = Pick<SenderMachineOptions, 'minReceivers' | 'minWaitUs' | 'maxWaitUs' | 'startTimeoutUs'>

/** Decides when to stop gathering receivers: enough of them, long enough, too long, or at once because the user says so. */
export class StartPolicy {
  readonly #options: StartOptions
  readonly #joinGate: Pick<JoinGate, 'settledUs'>
  readonly #bornUs: Micros
  #firstJoinUs: Micros | undefined
  #lastJoinUs = 0
  #isForced = false

  constructor(nowUs: Micros, options: StartOptions, joinGate: Pick<JoinGate, 'settledUs'>) {
    this.#bornUs = nowUs
    this.#joinGate = joinGate
    this.#options = options
  }

  noteJoin(nowUs: Micros): void {
    this.#firstJoinUs ??= nowUs
    this.#lastJoinUs = nowUs
  }

  force(): void {
    this.#isForced = true
  }

  /** When to decide as things stand; may lie in the past, Infinity when only a join can change anything. */
  decideAtUs(liveCount: number): Micros {
    return Math.min(this.#readyAtUs(liveCount), this.#timeoutUs)
  }

  /** At the time of {@link decideAtUs}: whether to start, or to give up with this text. */
  decide(nowUs: Micros, liveCount: number): 'start' | { readonly giveUp: string } {
    if (this.#readyAtUs(liveCount) <= nowUs) return 'start'
    const { minReceivers, startTimeoutUs = 0 } = this.#options
    return { giveUp: `${liveCount} of ${minReceivers} receivers came within ${startTimeoutUs / 1e6} s` }
  }

  #readyAtUs(liveCount: number): Micros {
    const { minReceivers, minWaitUs, maxWaitUs = Infinity } = this.#options
    if (this.#isForced) return this.#bornUs
    if (minReceivers === 0) return this.#bornUs + minWaitUs
    if (this.#firstJoinUs === undefined || liveCount === 0) return Infinity
    // While some may not join yet, that none has joined of late says nothing.
    const quietUs = Math.max(this.#lastJoinUs + JOIN_SETTLE_US, this.#joinGate.settledUs)
    const settledUs = Math.min(quietUs, this.#firstJoinUs + JOIN_SETTLE_LIMIT_US)
    const enoughUs = liveCount >= minReceivers ? Math.max(settledUs, this.#bornUs + minWaitUs) : Infinity
    return Math.min(enoughUs, this.#firstJoinUs + maxWaitUs)
  }

  get #timeoutUs(): Micros {
    return this.#bornUs + (this.#options.startTimeoutUs ?? Infinity)
  }
}
