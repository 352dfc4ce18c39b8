import {
  isSameId,
  JOIN_WINDOW_US,
  MAX_RECEIVER_COUNT,
  retryIntervalUs,
  type Announce,
  type Id64,
  type Micros,
  type PeerAddress,
  type Proof,
  type ReceiverTrust,
} from '../../protocol/index.ts'
import type { Random } from '../../random.ts'
import { drawBackoffUs } from './backoff.ts'
import type { HeardMessage } from './control-inbox.ts'
import { Retry } from './retry.ts'

/** An Announce that is authentic, of a session that may yet be a recording. */
export interface Candidate {
  readonly id: Id64
  readonly from: PeerAddress
  readonly announce: Announce
  readonly heard: HeardMessage
}

/** A candidate that is to be asked, and the nonce to ask with. */
export type Question = Candidate & { readonly nonce: Id64 }

/**
 * Tells live sessions from recordings. A tag or a signature proves who made a message, not when. So before a receiver with a key takes
 * part in a session, the session must repeat a nonce that nobody could have known before.
 *
 * A crowd hears the same Announce, so a receiver asks as it joins: after a drawn wait, and once the limit is above its number. The wait
 * is drawn for the first session heard; others are then asked as soon as they are.
 *
 * Keeps nothing by session but the one heard last: nonces are computed, so that no number of recordings crowds out the live one.
 */
export class SessionChallenge {
  readonly #trust: ReceiverTrust
  readonly #random: Random
  readonly #draw: number
  readonly #retry: Retry
  /** End of the wait; undefined before a session was heard. */
  #firstUs: Micros | undefined
  /** The candidate was heard since it was asked, and lets us ask. */
  #isWanted = false
  /** Sessions taken part in before: what one of them has proven then does not count again. */
  #epoch = 0
  #candidate: Candidate | undefined
  #provenId: Id64 | undefined

  /** @param draw the number that decides when this receiver may join */
  constructor(trust: ReceiverTrust, random: Random, draw: number) {
    this.#trust = trust
    this.#random = random
    this.#draw = draw
    // Not ever more slowly: the Announce that lets it ask again, the Challenge and the Proof may each get lost.
    this.#retry = new Retry(random, 1)
  }

  /** When to `poll` next; Infinity: not before another Announce. */
  get nextUs(): Micros {
    return this.#isWanted ? this.#retry.nextUs : Infinity
  }

  isProven(id: Id64): boolean {
    return this.#provenId !== undefined && isSameId(this.#provenId, id)
  }

  /** Notes a candidate, to be asked in the place of the one before. */
  note(nowUs: Micros, candidate: Candidate): void {
    const isOther = this.#candidate === undefined || !isSameId(this.#candidate.id, candidate.id)
    this.#candidate = candidate
    this.#firstUs ??= nowUs + drawBackoffUs(this.#random, JOIN_WINDOW_US, MAX_RECEIVER_COUNT, 0)
    if (isOther) this.#retry.start(Math.max(nowUs, this.#firstUs))
    this.#isWanted = candidate.announce.feedback.joinLimit > this.#draw
  }

  /** The candidate to send a Challenge to now, if any, and its nonce. */
  poll(nowUs: Micros): Question | undefined {
    const candidate = this.#candidate
    if (!this.#isWanted || candidate === undefined) return undefined
    if (!this.#retry.poll(nowUs, retryIntervalUs(candidate.announce.feedback.groupCount))) return undefined
    this.#isWanted = false
    return { ...candidate, nonce: this.#trust.challenge(candidate.id, this.#epoch) }
  }

  /** Takes an authentic Proof of that session. @returns its Announce, when it has now proven itself and was the candidate heard last */
  take(id: Id64, proof: Proof): Candidate | undefined {
    const nonce = this.#trust.challenge(id, this.#epoch)
    if (!proof.nonces.some((other) => isSameId(other, nonce))) return undefined
    this.#provenId = id
    return this.#candidate !== undefined && isSameId(this.#candidate.id, id) ? this.#candidate : undefined
  }

  /** A session was taken: the next one has to prove itself anew. */
  advance(): void {
    this.#epoch++
    this.#candidate = this.#provenId = this.#firstUs = undefined
    this.#isWanted = false
  }
}
