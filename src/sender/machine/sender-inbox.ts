import {
  decodeControl,
  formatId,
  MAX_RECEIVER_COUNT,
  openSealed,
  PacketType,
  type ControlMessage,
  type SenderTrust,
} from '../../protocol/index.ts'

/** Why a control packet is dropped: its content makes no sense, or it is not authentic, or has come before. */
export type InboxFault = 'malformed' | 'forged'

/**
 * Reads control packets of this session, and lets through what may be believed. In a keyed session that is what is tagged and newer
 * than all that the same receiver has said. Memory: about 100 bytes a receiver, when there is a key.
 */
export class SenderInbox {
  readonly #trust: Pick<SenderTrust, 'hasTag'>
  readonly #counters = new Map<string, number>()

  constructor(trust: SenderTrust | undefined) {
    this.#trust = trust?.hasTag === undefined ? {} : { hasTag: trust.hasTag }
  }

  open(bytes: Uint8Array, type: typeof PacketType.control | typeof PacketType.sealed): ControlMessage | InboxFault {
    if (type === PacketType.control) {
      if (this.#trust.hasTag !== undefined) return 'forged'
      const message = decodeControl(bytes, 0, bytes.length)
      return typeof message === 'string' ? 'malformed' : message
    }
    const opened = openSealed(bytes, 0, bytes.length, this.#trust)
    if (opened === 'control-malformed' || opened === 'control-limits') return 'malformed'
    if (typeof opened === 'string') return 'forged'
    const { counter, message } = opened
    return this.#isNew(message, counter) ? message : 'forged'
  }

  /** A Challenge is of no receiver, and does no more a second time than it did the first. */
  #isNew(message: ControlMessage, counter: number): boolean {
    if (!('receiver' in message)) return true
    const key = formatId(message.receiver)
    const last = this.#counters.get(key)
    if (last !== undefined && counter <= last) return false
    // The roster has no room for it either, and will say so.
    if (last !== undefined || this.#counters.size < MAX_RECEIVER_COUNT) this.#counters.set(key, counter)
    return true
  }
}
