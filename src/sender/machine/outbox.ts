import {
  ANNOUNCE_INTERVAL_US,
  LIMITS,
  MAX_CONTROL_BYTES,
  type ControlMessage,
  type Id64,
  type SliceRange,
} from '../../protocol/index.ts'
import type { TokenBucket } from '../../ratelimit/index.ts'

/** Most control packets that wait to be sent; more are dropped, since every one of them is repeated on need. */
const MAX_QUEUED_PACKETS = 64

/** Most receivers that wait for an acknowledgement of either kind: a few messages' worth. */
const MAX_WAITING_ACKS = 8 * LIMITS.acknowledgedReceivers

/** Most nonces that wait for a Proof. */
const MAX_WAITING_NONCES = 8 * LIMITS.noncesPerMessage

/**
 * Wait of a Challenge for others to be answered with it, microseconds: receivers that heard the same Announce ask at the same time, and
 * nobody can have more than this many Proofs made. Ours.
 */
const PROOF_DELAY_US = 5_000

/** A last word is said three times, this far apart, microseconds: longer than most bursts of loss. Ours. */
const LAST_WORDS = { times: 3, gapUs: 10_000 } as const

/** Time between two Announce messages while receivers gather, microseconds: they come together, and the start waits 50 ms. Ours. */
const GATHERING_INTERVAL_US = ANNOUNCE_INTERVAL_US / 4

/** Time between two End messages, microseconds: twice as often as Announce, since receivers wait for it. */
const END_INTERVAL_US = ANNOUNCE_INTERVAL_US / 2

/**
 * The sender's control packets: beacons by the clock, answers in batches, and messages said a few times so that one of them
 * arrives. All go to the group.
 */
export class Outbox {
  readonly #encode: (message: ControlMessage) => Uint8Array
  readonly #answers: TokenBucket
  readonly #queue: { message: ControlMessage; atUs: number; isAnswer: boolean }[] = []
  readonly #joinAcks: Id64[] = []
  readonly #doneAcks: Id64[] = []
  readonly #nonces: Id64[] = []
  #proofUs = Infinity
  #pending: { slice: number; symbolCount: number }[] = []
  #deferred: SliceRange[] = []
  #acksUs = Infinity
  #announceUs = 0
  #announceIntervalUs = GATHERING_INTERVAL_US
  #endUs: number | undefined

  /**
   * @param encode makes the packet of a message that goes out now
   * @param answers limits what is said because somebody else said something; holds one packet at least
   */
  constructor(encode: (message: ControlMessage) => Uint8Array, answers: TokenBucket) {
    this.#encode = encode
    this.#answers = answers
  }

  /** Answers a Challenge, together with others. When too many wait, it is left to be said again. */
  prove(nowUs: number, nonce: Id64): void {
    if (this.#nonces.length >= MAX_WAITING_NONCES) return
    if (this.#nonces.push(nonce) === 1) this.#proofUs = nowUs + PROOF_DELAY_US
  }

  /** Acknowledges a Join or Done by `byUs` at the latest, together with others. When too many wait, it is left to be said again. */
  acknowledge(kind: 'join' | 'done', id: Id64, byUs: number): void {
    const waiting = kind === 'join' ? this.#joinAcks : this.#doneAcks
    if (waiting.length >= MAX_WAITING_ACKS) return
    waiting.push(id)
    this.#acksUs = waiting.length >= LIMITS.acknowledgedReceivers ? 0 : Math.min(this.#acksUs, byUs)
  }

  /** Tells the group of a repair that is on its way. What does not fit one message is left out: it is asked for again. */
  echo(slice: number, symbolCount: number): void {
    if (this.#pending.length < LIMITS.slicesPerMessage) this.#pending.push({ slice, symbolCount })
  }

  /** Tells the group of slices that will be mended after the main pass. */
  echoDeferred(range: SliceRange): void {
    const last = this.#deferred.at(-1)
    if (last !== undefined && last.first + last.count === range.first) {
      this.#deferred[this.#deferred.length - 1] = { first: last.first, count: last.count + range.count }
    } else if (this.#deferred.length < LIMITS.rangesPerMessage) {
      this.#deferred.push(range)
    }
  }

  /** Queues an answer to one receiver, unless too many wait already. */
  say(nowUs: number, message: ControlMessage): void {
    if (this.#queue.length >= MAX_QUEUED_PACKETS) return
    this.#queue.push({ message, atUs: nowUs, isAnswer: true })
  }

  /** Queues the message that is the last of the session, said three times, so that one of them arrives. */
  sayLast(nowUs: number, message: ControlMessage): void {
    for (let time = 0; time < LAST_WORDS.times; time++)
      this.#queue.push({ message, atUs: nowUs + time * LAST_WORDS.gapUs, isAnswer: false })
  }

  /** The phase has changed: announces that as soon as possible, and from now on at the usual pace. */
  hurryAnnounce(): void {
    this.#announceUs = 0
    this.#announceIntervalUs = ANNOUNCE_INTERVAL_US
  }

  /** Has the next Announce go out by then. */
  announceBy(byUs: number): void {
    this.#announceUs = Math.min(this.#announceUs, byUs)
  }

  /** Begins to beacon End. */
  startEnd(nowUs: number): void {
    this.#endUs = nowUs
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0
  }

  /** Packets, acknowledgements (and answers to challenges) and echoes that wait to be sent. */
  get waiting(): { readonly packets: number; readonly acks: number; readonly echoes: number } {
    return {
      packets: this.#queue.length,
      acks: this.#joinAcks.length + this.#doneAcks.length + this.#nonces.length,
      echoes: this.#pending.length + this.#deferred.length,
    }
  }

  /**
   * The next control packet that is due.
   * @param beacon makes the present Announce or End
   */
  poll(nowUs: number, beacon: (kind: 'announce' | 'end') => ControlMessage): Uint8Array | undefined {
    const encode = this.#encode
    const mayAnswer = this.#answers.available(nowUs) >= MAX_CONTROL_BYTES
    const answer = (message: ControlMessage): Uint8Array => {
      const bytes = encode(message)
      this.#answers.take(nowUs, bytes.length)
      return bytes
    }
    const said = this.#queue.findIndex(({ atUs, isAnswer }) => atUs <= nowUs && (mayAnswer || !isAnswer))
    if (said !== -1) {
      const { message, isAnswer } = this.#queue.splice(said, 1)[0]!
      return isAnswer ? answer(message) : encode(message)
    }
    if (mayAnswer && this.#proofUs <= nowUs) {
      const nonces = this.#nonces.splice(0, LIMITS.noncesPerMessage)
      this.#proofUs = this.#nonces.length > 0 ? nowUs : Infinity
      return answer({ kind: 'proof', nonces })
    }
    if (mayAnswer && this.#acksUs <= nowUs) {
      if (this.#joinAcks.length > 0) {
        return answer({ kind: 'join-ack', receivers: this.#joinAcks.splice(0, LIMITS.acknowledgedReceivers) })
      }
      if (this.#doneAcks.length > 0) {
        return answer({ kind: 'done-ack', receivers: this.#doneAcks.splice(0, LIMITS.acknowledgedReceivers) })
      }
      this.#acksUs = Infinity
    }
    if (mayAnswer && (this.#pending.length > 0 || this.#deferred.length > 0)) {
      const message: ControlMessage = { kind: 'repair-echo', pending: this.#pending, deferred: this.#deferred }
      this.#pending = []
      this.#deferred = []
      return answer(message)
    }
    if (this.#endUs !== undefined && this.#endUs <= nowUs) {
      this.#endUs = nowUs + END_INTERVAL_US
      return encode(beacon('end'))
    }
    if (this.#announceUs <= nowUs) {
      this.#announceUs = nowUs + this.#announceIntervalUs
      return encode(beacon('announce'))
    }
    return undefined
  }

  /** When {@link poll} has something at the latest. */
  nextUs(nowUs: number): number {
    const answerUs = this.#answers.readyAtUs(MAX_CONTROL_BYTES)
    let next = Math.min(this.#announceUs, this.#endUs ?? Infinity)
    next = Math.min(next, Math.max(answerUs, Math.min(this.#acksUs, this.#proofUs)))
    if (this.#pending.length + this.#deferred.length > 0) next = Math.min(next, Math.max(nowUs, answerUs))
    for (const { atUs, isAnswer } of this.#queue) next = Math.min(next, isAnswer ? Math.max(atUs, answerUs) : atUs)
    return next
  }
}
