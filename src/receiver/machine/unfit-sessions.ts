import { ANNOUNCE_INTERVAL_US, type Micros } from '../../protocol/index.ts'
import type { Failure } from './session-choice.ts'

/**
 * Sessions that a receiver hears and cannot take part in, while it seeks one that it can. Two announce intervals after the first, it
 * gives up with the reason. But who was told how long to wait is not hurried by what may be a stranger's forgery: it waits so long,
 * and then tells the reason.
 */
export class UnfitSessions {
  readonly #isPatient: boolean
  #failure: Failure | undefined
  #deadlineUs: Micros = Infinity

  /** @param isPatient whether the receiver has a deadline of its own */
  constructor(isPatient: boolean) {
    this.#isPatient = isPatient
  }

  /** When to give up; Infinity: not for what was heard. */
  get deadlineUs(): Micros {
    return this.#deadlineUs
  }

  /** The first reason noted. */
  get failure(): Failure | undefined {
    return this.#failure
  }

  /** @returns true when this is the first */
  note(nowUs: Micros, failure: Failure): boolean {
    if (this.#failure !== undefined) return false
    this.#failure = failure
    if (!this.#isPatient) this.#deadlineUs = nowUs + 2 * ANNOUNCE_INTERVAL_US
    return true
  }

  /** A session that fits was heard of: whatever else there is, this receiver is right to wait. */
  clear(): void {
    this.#failure = undefined
    this.#deadlineUs = Infinity
  }
}
