import { decodeMessage, encodeMessage, type ControlFault } from './control.ts'
import type { Id64 } from './ids.ts'
import type { ControlMessage } from './messages.ts'
import { encodePrefixInto, PacketType, PREFIX_BYTES, SEALED_HEADER_BYTES } from './packet.ts'
import { MAX_CONTROL_BYTES } from './params.ts'
import {
  CONTROL_SIGNATURE_BYTES,
  CONTROL_TAG_BYTES,
  type ControlProof,
  type ControlSeal,
  type TrustMode,
} from './trust.ts'

/**
 * A sealed control packet (big-endian):
 *
 *     0  16  prefix, type 4
 *    16   2  length of the message
 *    18   1  0
 *    19   1  flags: 1 the session is keyed, 2 it is signed, 4 this packet is signed
 *    20   8  counter: goes up with each sealed packet of its sender in the session
 *    28      the message
 *     …  64  signature over a label and all before, when flag 4 is set
 *     …  16  tag over all before, when flag 1 is set
 */
const KEYED = 1
const SIGNED = 2
const HAS_SIGNATURE = 4

const HIGH = 4_294_967_296

/** A sealed packet that its reader believes. */
export interface OpenedPacket extends TrustMode {
  readonly counter: number
  readonly message: ControlMessage
  /** The strongest proof that the reader asks for is in it: only then does its counter tell of those to come. */
  readonly isProven: boolean
}

/** Why a sealed packet is not believed: it lacks a tag or signature that is asked for, or has a wrong one, or one that we have no key for. */
export type SealFault = 'not-keyed' | 'not-signed' | 'no-key' | 'wrong-tag' | 'wrong-signature'

/** Messages that are not signed: a false one only delays repairs, and they are too many. */
const isSignedKind = (kind: ControlMessage['kind']): boolean => kind !== 'repair-echo'

/**
 * A whole packet, at most {@link MAX_CONTROL_BYTES} long. The caller owns it.
 * @throws RangeError when a value of the message is out of its bounds
 */
export function encodeSealed(
  message: ControlMessage,
  session: Id64,
  imageTag: number,
  counter: number,
  mode: TrustMode,
  seal: ControlSeal,
): Uint8Array {
  const body = encodeMessage(message)
  const sign = isSignedKind(message.kind) ? seal.sign : undefined
  const packet = new Uint8Array(
    SEALED_HEADER_BYTES + body.length + sealBytes(sign !== undefined, seal.tag !== undefined),
  )
  const view = new DataView(packet.buffer)
  encodePrefixInto(packet, 0, PacketType.sealed, session, imageTag)
  view.setUint16(PREFIX_BYTES, body.length)
  packet[19] = (mode.isKeyed ? KEYED : 0) | (mode.isSigned ? SIGNED : 0) | (sign === undefined ? 0 : HAS_SIGNATURE)
  view.setUint32(20, Math.floor(counter / HIGH))
  view.setUint32(24, counter >>> 0)
  packet.set(body, SEALED_HEADER_BYTES)
  let at = SEALED_HEADER_BYTES + body.length
  if (sign !== undefined) {
    packet.set(sign(packet.subarray(0, at)), at)
    at += CONTROL_SIGNATURE_BYTES
  }
  if (seal.tag !== undefined) packet.set(seal.tag(packet.subarray(0, at)), at)
  return packet
}

/** Length of the sealed packet at `at`, as it says; may reach beyond what was received. */
export function sealedPacketBytesAt(bytes: Uint8Array, at: number): number {
  const flags = bytes[at + 19]!
  const bodyBytes = (bytes[at + PREFIX_BYTES]! << 8) | bytes[at + PREFIX_BYTES + 1]!
  return SEALED_HEADER_BYTES + bodyBytes + sealBytes((flags & HAS_SIGNATURE) !== 0, (flags & KEYED) !== 0)
}

/**
 * Reads the sealed packet at `at`, of which `packetTypeAt` has found that it is one; at most `lengthBytes` are there. Never throws for
 * what is in the bytes, and copies what it keeps. Tag and signature are checked before the message is looked at.
 */
export function openSealed(
  bytes: Uint8Array,
  at: number,
  lengthBytes: number,
  { hasTag, hasSignature }: ControlProof,
): OpenedPacket | SealFault | ControlFault {
  const flags = bytes[at + 19]!
  const ownBytes = sealedPacketBytesAt(bytes, at)
  if (ownBytes > MAX_CONTROL_BYTES) return 'control-limits'
  const counter = counterAt(bytes, at)
  if (ownBytes > lengthBytes || flags > 7 || bytes[at + 18] !== 0 || !Number.isSafeInteger(counter)) {
    return 'control-malformed'
  }
  const [isKeyed, isSigned, isSignedItself] = [KEYED, SIGNED, HAS_SIGNATURE].map((flag) => (flags & flag) !== 0)
  const end = at + ownBytes
  const tagAt = isKeyed ? end - CONTROL_TAG_BYTES : end
  const bodyEnd = isSignedItself ? tagAt - CONTROL_SIGNATURE_BYTES : tagAt
  if (isKeyed && hasTag === undefined) return 'no-key'
  if (!isKeyed && hasTag !== undefined) return 'not-keyed'
  if (hasTag?.(bytes.subarray(at, tagAt), bytes.subarray(tagAt, end)) === false) return 'wrong-tag'
  if (isSignedItself && hasSignature?.(bytes.subarray(at, bodyEnd), bytes.subarray(bodyEnd, tagAt)) === false) {
    return 'wrong-signature'
  }
  const message = decodeMessage(bytes.subarray(at + SEALED_HEADER_BYTES, bodyEnd))
  if (typeof message === 'string') return message
  if (hasSignature !== undefined && !isSignedItself && (!isSigned || isSignedKind(message.kind))) return 'not-signed'
  const isProven = hasSignature === undefined ? hasTag !== undefined : isSignedItself === true
  return { counter, message, isKeyed: isKeyed === true, isSigned: isSigned === true, isProven }
}

/** The message of a sealed packet, whoever sent it: for telling what is heard, not for acting on it. */
export function peekSealed(bytes: Uint8Array, at: number, lengthBytes: number): ControlMessage | ControlFault {
  const bodyBytes = (bytes[at + PREFIX_BYTES]! << 8) | bytes[at + PREFIX_BYTES + 1]!
  const from = at + SEALED_HEADER_BYTES
  if (bodyBytes > MAX_CONTROL_BYTES || SEALED_HEADER_BYTES + bodyBytes > lengthBytes) return 'control-malformed'
  return decodeMessage(bytes.subarray(from, from + bodyBytes))
}

const counterAt = (bytes: Uint8Array, at: number): number => {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at)
  return view.getUint32(20) * HIGH + view.getUint32(24)
}

const sealBytes = (hasSignature: boolean, hasTag: boolean): number =>
  (hasSignature ? CONTROL_SIGNATURE_BYTES : 0) + (hasTag ? CONTROL_TAG_BYTES : 0)
