import type { Id64, Micros, Proof } from '../../protocol/index.ts'
import type { ReceiverMachineOptions } from './receiver-options.ts'
import { SessionChallenge, type Candidate, type Question } from './session-challenge.ts'
import type { Failure } from './session-choice.ts'
import { UnfitSessions } from './unfit-sessions.ts'

/**
 * Looks for a session to take part in: of the image that is wanted, and, where there are keys, one that has proven to be live. Goes on
 * while there is one, as a sender may be started again. Tells when to give up, and why.
 */
export class SessionSearch {
  readonly #imageId: string | undefined
  readonly #startTimeoutUs: number | undefined
  readonly #startDeadlineUs: Micros
  readonly #unfit: UnfitSessions
  /** There when this receiver has keys. */
  readonly #challenge: SessionChallenge | undefined

  /** @param nowUs when it begins @param draw the number that decides when this receiver may join */
  constructor(nowUs: Micros, options: ReceiverMachineOptions, draw: number) {
    const { imageId, startTimeoutUs, trust, random } = options
    this.#imageId = imageId
    this.#startTimeoutUs = startTimeoutUs
    this.#startDeadlineUs = nowUs + (startTimeoutUs ?? Infinity)
    this.#unfit = new UnfitSessions(startTimeoutUs !== undefined)
    this.#challenge = trust && new SessionChallenge(trust, random, draw)
  }

  /** When to ask for the `failure` next. */
  get deadlineUs(): Micros {
    return Math.min(this.#startDeadlineUs, this.#unfit.deadlineUs)
  }

  /** When to `poll` next; Infinity: not before another Announce. */
  get nextUs(): Micros {
    return this.#challenge?.nextUs ?? Infinity
  }

  /** The session to send a Challenge to now, if any, and its nonce. */
  poll(nowUs: Micros): Question | undefined {
    return this.#challenge?.poll(nowUs)
  }

  /**
   * Judges an authentic Announce of a session that this receiver is not in, and could take.
   * @returns `foreign`: of another image; `unproven`: to be asked first whether it is live; `fit`: taken, the next one has to prove itself anew
   */
  consider(nowUs: Micros, candidate: Candidate): 'foreign' | 'unproven' | 'fit' {
    const { imageId } = candidate.announce
    if (this.#imageId !== undefined && this.#imageId !== imageId) {
      const text = `a session of image ${imageId} is announced, and this receiver is to take ${this.#imageId}`
      this.#unfit.note(nowUs, { code: 'IMAGE_REFUSED', text })
      return 'foreign'
    }
    if (this.#challenge?.isProven(candidate.id) === false) {
      this.#challenge.note(nowUs, candidate)
      this.#unfit.clear()
      return 'unproven'
    }
    this.#challenge?.advance()
    return 'fit'
  }

  /** Takes an authentic Proof of that session. @returns what to `consider` again, when it is of the session heard last */
  takeProof(id: Id64, proof: Proof): Candidate | undefined {
    return this.#challenge?.take(id, proof)
  }

  /** Notes a session that cannot be taken part in. @returns what to say of it: of the first, and when it is not the end of the search */
  noteUnfit(nowUs: Micros, failure: Failure): string | undefined {
    const isFirst = this.#unfit.note(nowUs, failure)
    // Without a deadline of its own, the receiver fails with the same words in a moment.
    return isFirst && this.#startTimeoutUs !== undefined ? `${failure.text}; waiting for another` : undefined
  }

  /** Why to give up, when the time for that has come. */
  failure(nowUs: Micros): Failure | undefined {
    const { failure, deadlineUs } = this.#unfit
    if (nowUs >= deadlineUs) return failure
    if (nowUs < this.#startDeadlineUs) return undefined
    const within = `within ${(this.#startTimeoutUs ?? 0) / 1e6} s`
    if (failure === undefined) return { code: 'NO_SENDER', text: `no sender was heard ${within}` }
    if (failure.code !== 'IMAGE_REFUSED') return failure
    return { code: 'NO_SENDER', text: `only other images than ${this.#imageId!} were announced ${within}` }
  }
}
