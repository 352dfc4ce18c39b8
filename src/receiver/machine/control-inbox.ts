import {
  decodeControl,
  isSameId,
  openSealed,
  PacketType,
  peekSealed,
  sessionAt,
  type ControlFault,
  type ControlMessage,
  type Id64,
  type ReceiverSessionTrust,
  type ReceiverTrust,
  type SealFault,
  type TrustMode,
} from '../../protocol/index.ts'
import type { Failure } from './session-choice.ts'

/** A control message that this receiver may act on. */
export interface HeardMessage {
  readonly kind: 'message'
  readonly message: ControlMessage
  /** How its session is protected. */
  readonly mode: TrustMode
  /** Of a sealed packet: see `OpenedPacket`. */
  readonly counter?: number
  readonly isProven: boolean
}

/** One that it may not. `message` is what it would say, where that can be told. */
export interface UnfitMessage {
  readonly kind: 'unfit'
  readonly failure: Failure
  readonly message: ControlMessage | ControlFault
}

const OPEN: TrustMode = { isKeyed: false, isSigned: false }

const FAILURES: Readonly<Record<SealFault, Failure>> = {
  'no-key': { code: 'KEY_NEEDED', text: 'a session is announced that is keyed, and there is no key here' },
  'not-keyed': {
    code: 'SESSION_UNTRUSTED',
    text: 'a session is announced that is not keyed, and this receiver has a key',
  },
  'not-signed': {
    code: 'SESSION_UNTRUSTED',
    text: 'a session is announced that is not signed, and this receiver has a key to verify with',
  },
  'wrong-tag': { code: 'KEY_REFUSED', text: 'a session is announced whose group key is not the one given here' },
  'wrong-signature': {
    code: 'SIGNATURE_REFUSED',
    text: 'a session is announced whose signature does not fit the key given here',
  },
}

/** Reads control packets, and tells what may be believed. */
export class ControlInbox {
  readonly #trust: ReceiverTrust | undefined
  /** The sessions asked for last: ours, and one other. */
  #opened: readonly { readonly id: Id64; readonly trust: ReceiverSessionTrust }[] = []

  constructor(trust: ReceiverTrust | undefined) {
    this.#trust = trust
  }

  /** This end's side of a session; nothing in it when the receiver has no keys. */
  trustOf(id: Id64): ReceiverSessionTrust {
    if (this.#trust === undefined) return {}
    const known = this.#opened.find((entry) => isSameId(entry.id, id))
    const entry = known ?? { id, trust: this.#trust.open(id) }
    this.#opened = [entry, ...this.#opened.filter((other) => other !== entry)].slice(0, 2)
    return entry.trust
  }

  /** Reads the control packet at `at`, sealed or not, of which at most `lengthBytes` are there. */
  open(
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
    type: typeof PacketType.control | typeof PacketType.sealed,
  ): HeardMessage | UnfitMessage | ControlFault {
    if (type === PacketType.control) {
      const message = decodeControl(bytes, at, lengthBytes)
      if (typeof message === 'string') return message
      if (this.#trust === undefined) return { kind: 'message', message, mode: OPEN, isProven: false }
      return { kind: 'unfit', failure: FAILURES[this.#trust.isKeyed ? 'not-keyed' : 'not-signed'], message }
    }
    const opened = openSealed(bytes, at, lengthBytes, this.trustOf(sessionAt(bytes, at)))
    if (typeof opened !== 'string') {
      const { counter, message, isKeyed, isSigned, isProven } = opened
      return { kind: 'message', message, mode: { isKeyed, isSigned }, counter, isProven }
    }
    if (opened === 'control-malformed' || opened === 'control-limits') return opened
    return { kind: 'unfit', failure: FAILURES[opened], message: peekSealed(bytes, at, lengthBytes) }
  }
}
