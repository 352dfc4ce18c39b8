import {
  DATA_HEADER_BYTES,
  decodeControl,
  frameBytesAt,
  PacketType,
  packetTypeAt,
  sourceSymbolCount,
  symbolIndexAt,
  type ControlMessage,
} from '../../src/protocol/index.ts'
import type { PacketFilter } from './network.ts'

/** Kinds of packets that a simulated session sends. */
export type PacketKind = 'data' | 'parity' | ControlMessage['kind']

// prettier-ignore
export const PACKET_KINDS: readonly PacketKind[] = [
  'data', 'parity', 'announce', 'join', 'join-ack', 'report', 'nack', 'repair-echo', 'end', 'done', 'done-ack', 'abort', 'leave',
]

/** What a packet of a session is. */
function kindOf(packet: Uint8Array): PacketKind {
  if (packetTypeAt(packet, 0, packet.length) === PacketType.data) {
    const sourceCount = sourceSymbolCount(frameBytesAt(packet, 0), packet.length - DATA_HEADER_BYTES)
    return symbolIndexAt(packet, 0) < sourceCount ? 'data' : 'parity'
  }
  const message = decodeControl(packet, 0, packet.length)
  if (typeof message === 'string') throw new Error(`a packet is ${message}`)
  return message.kind
}

/** Counts the packets of one kind on each path, and loses some of them. */
export class KindFilter {
  /** Packets of the kind so far, by path. */
  readonly counts: Map<string, number> = new Map<string, number>()
  readonly #kind: PacketKind
  readonly #loses: (ordinal: number, path: string) => boolean

  /** @param loses whether the packet of that ordinal (from 1) on that path is lost */
  constructor(kind: PacketKind, loses: (ordinal: number, path: string) => boolean) {
    this.#kind = kind
    this.#loses = loses
  }

  readonly filter: PacketFilter = (packet, to, from) => {
    if (kindOf(packet) !== this.#kind) return false
    const path = `${from} to ${to}`
    const ordinal = (this.counts.get(path) ?? 0) + 1
    this.counts.set(path, ordinal)
    return this.#loses(ordinal, path)
  }
}
