import { frameHeadBytes } from './frame.ts'
import type { Id64 } from './ids.ts'
import { MAX_SOURCE_SYMBOL_COUNT, MAX_SYMBOL_COUNT, OLDEST_VERSION, PROTOCOL_VERSION } from './params.ts'

/**
 * Every packet begins with this prefix (all integers big-endian):
 *
 *     0  2  magic 0x53 0x6b ("Sk")
 *     2  1  protocol version
 *     3  1  packet type: 1 data, 2 control, 3 refusal, 4 sealed control
 *     4  8  session id
 *    12  4  image tag
 *
 * The first twelve bytes keep their meaning in every version, so that peers of different versions can refuse each other clearly.
 */
export const PREFIX_BYTES = 16

/** Prefix, then slice index (4), frame length (3), symbol index (1); the symbol follows. */
export const DATA_HEADER_BYTES = 24

/**
 * Prefix, then the length of the message (2); the message follows. The length parts control packets that a receiver's system has
 * joined into one read (UDP_GRO joins packets of one size, and a last shorter one).
 */
export const CONTROL_HEADER_BYTES = 18

/** Prefix, then the length of the message (2), 0, flags (1), counter (8); message, signature and tag follow. See sealed.ts. */
export const SEALED_HEADER_BYTES = 28

/** Prefix, then oldest and newest version that the refusing peer speaks, one byte each. */
export const REFUSAL_BYTES = 18

export const PacketType = { data: 1, control: 2, refusal: 3, sealed: 4 } as const
export type PacketType = (typeof PacketType)[keyof typeof PacketType]

const MAGIC = 0x536b

/** Why a packet was dropped before its content was looked at. */
export type PacketFault = 'too-short' | 'not-ours' | 'other-version' | 'unknown-type'

const word = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0

function putWord(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 24
  into[at + 1] = value >>> 16
  into[at + 2] = value >>> 8
  into[at + 3] = value
}

/** Writes the prefix at `at`. */
export function encodePrefixInto(into: Uint8Array, at: number, type: PacketType, session: Id64, tag: number): void {
  into[at] = MAGIC >>> 8
  into[at + 1] = MAGIC & 0xff
  into[at + 2] = PROTOCOL_VERSION
  into[at + 3] = type
  putWord(into, at + 4, session.high)
  putWord(into, at + 8, session.low)
  putWord(into, at + 12, tag)
}

/** Type of the packet at `at`, or why it is none of ours. Checks magic, version and the length that the type needs. */
export function packetTypeAt(bytes: Uint8Array, at: number, length: number): PacketType | PacketFault {
  if (length < PREFIX_BYTES) return 'too-short'
  if (((bytes[at]! << 8) | bytes[at + 1]!) !== MAGIC) return 'not-ours'
  const type = bytes[at + 3]!
  if (type === PacketType.refusal) return length < REFUSAL_BYTES ? 'too-short' : type
  const version = bytes[at + 2]!
  if (version < OLDEST_VERSION || version > PROTOCOL_VERSION) return 'other-version'
  if (type === PacketType.control) return length <= CONTROL_HEADER_BYTES ? 'too-short' : type
  if (type === PacketType.sealed) return length <= SEALED_HEADER_BYTES ? 'too-short' : type
  if (type !== PacketType.data) return 'unknown-type'
  return length <= DATA_HEADER_BYTES ? 'too-short' : type
}

/** Version byte of a packet whose prefix was found to be ours. */
export const versionAt = (bytes: Uint8Array, at: number): number => bytes[at + 2]!

/** True when the packet at `at` carries this session id. */
export const hasSession = (bytes: Uint8Array, at: number, session: Id64): boolean =>
  word(bytes, at + 4) === session.high && word(bytes, at + 8) === session.low

export const sessionAt = (bytes: Uint8Array, at: number): Id64 => ({
  high: word(bytes, at + 4),
  low: word(bytes, at + 8),
})

export const imageTagAt = (bytes: Uint8Array, at: number): number => word(bytes, at + 12)

/** Writes the part of a data header that differs between packets of a session; the prefix must be there already. */
export function encodeDataFieldsInto(
  into: Uint8Array,
  at: number,
  sliceIndex: number,
  frameBytes: number,
  symbolIndex: number,
): void {
  putWord(into, at + 16, sliceIndex)
  putWord(into, at + 20, ((frameBytes << 8) | symbolIndex) >>> 0)
}

export const sliceIndexAt = (bytes: Uint8Array, at: number): number => word(bytes, at + 16)
export const frameBytesAt = (bytes: Uint8Array, at: number): number => word(bytes, at + 20) >>> 8
export const symbolIndexAt = (bytes: Uint8Array, at: number): number => bytes[at + 23]!

/** Source symbols of a frame: the frame cut into pieces of `symbolBytes`, the last one padded with zeros. */
export const sourceSymbolCount = (frameBytes: number, symbolBytes: number): number =>
  Math.ceil(frameBytes / symbolBytes)

/**
 * True when a data packet can have that frame length and symbol index: a frame of a head at least and of at most 223 source
 * symbols, an index of at most 254. Whether the slice and the length are the session's is for the caller to check.
 */
export const areDataFieldsValid = (frameBytes: number, symbolIndex: number, symbolBytes: number): boolean =>
  frameBytes >= frameHeadBytes(1) &&
  sourceSymbolCount(frameBytes, symbolBytes) <= MAX_SOURCE_SYMBOL_COUNT &&
  symbolIndex < MAX_SYMBOL_COUNT

/** Length of the control packet at `at`, header and message, as it says; may reach beyond what was received. */
export const controlPacketBytesAt = (bytes: Uint8Array, at: number): number =>
  CONTROL_HEADER_BYTES + ((bytes[at + PREFIX_BYTES]! << 8) | bytes[at + PREFIX_BYTES + 1]!)

/** A refusal: "I speak only versions `oldest` to `newest`". Sent by a receiver to a sender whose version it does not speak. */
export function encodeRefusal(session: Id64): Uint8Array {
  const bytes = new Uint8Array(REFUSAL_BYTES)
  encodePrefixInto(bytes, 0, PacketType.refusal, session, 0)
  bytes[16] = OLDEST_VERSION
  bytes[17] = PROTOCOL_VERSION
  return bytes
}

export const refusalVersions = (bytes: Uint8Array, at: number): { oldest: number; newest: number } => ({
  oldest: bytes[at + 16]!,
  newest: bytes[at + 17]!,
})
