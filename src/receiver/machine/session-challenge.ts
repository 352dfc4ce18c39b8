import {
  isSameId,
  type Announce,
  type Id64,
  type PeerAddress,
  type Proof,
  type ReceiverTrust,
} from '../../protocol/index.ts'
import type { HeardMessage } from './control-inbox.ts'

/** An Announce that is authentic, of a session that may yet be a recording. */
export interface Candidate {
  readonly id: Id64
  readonly from: PeerAddress
  readonly announce: Announce
  readonly heard: HeardMessage
}

/**
 * Tells live sessions from recordings. A tag or a signature proves who made a message, not when. So before a receiver with a key takes
 * part in a session, the session must repeat a nonce that nobody could have known before.
 *
 * Keeps nothing by session but the one heard last: nonces are computed, so that no number of recordings crowds out the live one.
 */
export class SessionChallenge {
  readonly #trust: ReceiverTrust
  /** Sessions taken part in before: what one of them has proven then does not count again. */
  #epoch = 0
  #candidate: Candidate | undefined
  #provenId: Id64 | undefined

  constructor(trust: ReceiverTrust) {
    this.#trust = trust
  }

  isProven(id: Id64): boolean {
    return this.#provenId !== undefined && isSameId(this.#provenId, id)
  }

  /** Notes a candidate. @returns the nonce to send in a Challenge */
  ask(candidate: Candidate): Id64 {
    this.#candidate = candidate
    return this.#trust.challenge(candidate.id, this.#epoch)
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
    this.#candidate = this.#provenId = undefined
  }
}
