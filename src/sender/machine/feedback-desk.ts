import {
  reportIntervalMs,
  SMALL_GROUP_COUNT,
  type AbortReason,
  type ControlMessage,
  type Id64,
  type Micros,
  type Nack,
  type PeerAddress,
  type Phase,
  type Report,
} from '../../protocol/index.ts'
import type { DataStream } from './data-stream.ts'
import type { JoinGate } from './join-gate.ts'
import type { NackDesk } from './nack-desk.ts'
import type { Outbox } from './outbox.ts'
import type { Pacer } from './pacer.ts'
import type { Roster } from './roster.ts'
import type { SenderEvent } from './sender-options.ts'
import type { SlowReceivers } from './slow-receivers.ts'
import type { StartPolicy } from './start-policy.ts'

/** Longest wait of a Join or Done for others to be acknowledged with it, microseconds: well below RETRY_INTERVAL_US. Ours. */
const MAX_ACK_DELAY_US = 50_000

/** Those whom it may concern when a receiver says something. */
export interface FeedbackParts {
  readonly roster: Roster
  readonly joinGate: JoinGate
  readonly startPolicy: StartPolicy
  readonly outbox: Outbox
  readonly stream: DataStream
  readonly pacer: Pacer
  readonly slow: SlowReceivers
  readonly nackDesk: NackDesk
  /** The session has a key or a signature: receivers challenge it before they join. */
  readonly isProtected: boolean
  readonly emit: (event: SenderEvent) => void
}

/** Takes in what receivers say, and tells each of them what becomes of it. */
export class FeedbackDesk {
  readonly #parts: FeedbackParts
  #nackCount = 0

  constructor(parts: FeedbackParts) {
    this.#parts = parts
  }

  /** NACKs that came. */
  get nackCount(): number {
    return this.#nackCount
  }

  /** Live receivers, and those that have not been let in yet. */
  get groupCount(): number {
    const { roster, joinGate } = this.#parts
    return Math.min(roster.credibleCount, joinGate.groupCount(roster.groupCount))
  }

  /** @returns false for what no receiver says */
  take(nowUs: Micros, from: PeerAddress, message: ControlMessage, phase: Phase | 'closing'): boolean {
    const { roster, joinGate, startPolicy, outbox, stream, isProtected } = this.#parts
    if (message.kind === 'challenge') {
      if (phase === 'closing') return true
      outbox.prove(nowUs, message.nonce)
      // Nobody asks for it in an open session.
      if (isProtected) this.#noteJoin(nowUs)
      return true
    }
    if (!('receiver' in message) || message.kind === 'abort') return false
    const id = message.receiver
    if (phase === 'closing' && roster.view(id) === undefined) return true
    const before = roster.hear(nowUs, id, 'name' in message ? message.name : undefined, from.address)
    if (before === 'full') {
      this.#refuse(nowUs, id, 'too-many-receivers', 'the session has no room for another receiver')
      return true
    }
    if (before === 'new') {
      startPolicy.noteJoin(nowUs)
      // Whoever waits to join may ask for repairs: that is not against the gate.
      if (message.kind !== 'nack') this.#noteJoin(nowUs)
      this.#tell(id)
    } else if (message.kind !== 'nack') {
      joinGate.noteFeedback(nowUs)
    }
    if (before === 'dropped') {
      this.#refuse(nowUs, id, roster.dropReason(id), roster.view(id)?.reason ?? '')
      return true
    }
    if (message.kind === 'join') {
      stream.noteJoin(message)
      outbox.acknowledge('join', id, nowUs + this.#ackDelayUs)
    } else if (message.kind === 'report') {
      // What one says that is done or has left tells nothing of the rate.
      if (before === 'live' || before === 'new') this.#takeReport(nowUs, message)
    } else if (message.kind === 'nack') this.#takeNack(nowUs, from, message, phase === 'sending')
    else if (message.kind === 'done') {
      outbox.acknowledge('done', id, nowUs + this.#ackDelayUs)
      this.#retire(id, 'done', '')
    } else this.#retire(id, 'left', message.reason)
    return true
  }

  /** Nobody waits for that receiver any longer; it is told why. */
  drop(nowUs: Micros, receiver: Id64, reason: AbortReason, text: string): void {
    this.#retire(receiver, 'dropped', text, reason)
    this.#refuse(nowUs, receiver, reason, text)
  }

  #noteJoin(nowUs: Micros): void {
    const { joinGate, outbox } = this.#parts
    if (joinGate.noteJoin(nowUs)) outbox.announceBy(nowUs)
  }

  /** Large groups repeat themselves more slowly, so that many can be acknowledged in one message. */
  get #ackDelayUs(): number {
    const { knownCount } = this.#parts.roster
    return knownCount <= SMALL_GROUP_COUNT ? 0 : Math.min(MAX_ACK_DELAY_US, 100 * reportIntervalMs(knownCount))
  }

  #takeReport(nowUs: Micros, report: Report): void {
    const { roster, slow, pacer, stream } = this.#parts
    roster.report(nowUs, report)
    if (!slow.isCounted(nowUs, report, pacer.bitsPerSec, stream.begunCount)) return
    pacer.handleReport(nowUs, report, roster.grttUs)
  }

  #takeNack(nowUs: Micros, { address }: PeerAddress, nack: Nack, isPassing: boolean): void {
    const { roster, slow, pacer, stream, nackDesk } = this.#parts
    this.#nackCount++
    // Not answered either: an echo would silence those who want the same and are not slow.
    if (slow.isPutOff(nack.receiver)) return
    stream.noteNack(nack)
    const settledBelow = roster.settledBelowOf(nack.receiver)
    const state = {
      ...{ groupCount: this.groupCount, grttUs: roster.grttUs, symbolsPerSec: pacer.packetsPerSec },
      ...{ passSlice: stream.passSlice, isPassing, settledBelow, address },
    }
    if (nackDesk.take(nowUs, nack, state)) return
    // Its Join is under way, and it will ask again: the result should name it.
    if (!roster.isNamed(nack.receiver)) return
    const text = 'the source cannot be read again and the sender has no spool'
    this.drop(nowUs, nack.receiver, 'data-gone', `came too late: ${text}`)
  }

  #refuse(nowUs: Micros, receiver: Id64, reason: AbortReason, text: string): void {
    this.#parts.outbox.say(nowUs, { kind: 'abort', receiver, reason, text })
  }

  #retire(id: Id64, state: 'done' | 'left' | 'dropped', text: string, reason?: AbortReason): void {
    const { roster, slow, pacer } = this.#parts
    pacer.forget(id)
    slow.forget(id)
    if (roster.retire(id, state, text, reason)) this.#tell(id)
  }

  #tell(id: Id64): void {
    const receiver = this.#parts.roster.view(id)
    if (receiver !== undefined) this.#parts.emit({ kind: 'receiver', receiver })
  }
}
