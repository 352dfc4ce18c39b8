import { findLimitBreach } from './control-limits.ts'
import { skilfish as wire } from './generated/control.js'
import type { Id64 } from './ids.ts'
import type { AbortReason, Announce, ControlMessage, Join, Nack, Phase, RepairEcho, SliceRange } from './messages.ts'
import { CONTROL_HEADER_BYTES, controlPacketBytesAt, encodePrefixInto, PacketType, PREFIX_BYTES } from './packet.ts'
import { MAX_CONTROL_BYTES } from './params.ts'

/**
 * Why a control packet was dropped: `control-malformed`, it is no message of control.proto or lacks what it needs;
 * `control-limits`, it is too long or a value is out of its bounds.
 */
export type ControlFault = 'control-malformed' | 'control-limits'

/**
 * A whole packet with the message, at most {@link MAX_CONTROL_BYTES} long: it fits the smallest MTU. The caller owns it.
 * @throws RangeError when a value is out of its bounds (LIMITS in params.ts); see `clipText` for texts
 */
export function encodeControl(message: ControlMessage, session: Id64, tag: number): Uint8Array {
  const body = encodeMessage(message)
  const packet = new Uint8Array(CONTROL_HEADER_BYTES + body.length)
  encodePrefixInto(packet, 0, PacketType.control, session, tag)
  packet[PREFIX_BYTES] = body.length >>> 8
  packet[PREFIX_BYTES + 1] = body.length
  packet.set(body, CONTROL_HEADER_BYTES)
  return packet
}

/**
 * The message alone, as `control.proto` has it.
 * @throws RangeError when a value is out of its bounds
 */
export function encodeMessage(message: ControlMessage): Uint8Array {
  const breach = findLimitBreach(message)
  if (breach !== undefined) throw new RangeError(`${message.kind}: ${breach}`)
  return wire.Control.encode(toWire(message)).finish()
}

/**
 * Reads the control packet at `at`, of which `packetTypeAt` has found that it is one; at most `length` bytes are there. Never throws for what is
 * in the bytes, and copies what it keeps: `bytes` are the caller's again.
 */
export function decodeControl(bytes: Uint8Array, at: number, length: number): ControlMessage | ControlFault {
  const ownBytes = controlPacketBytesAt(bytes, at)
  if (ownBytes > MAX_CONTROL_BYTES) return 'control-limits'
  if (ownBytes > length) return 'control-malformed'
  return decodeMessage(bytes.subarray(at + CONTROL_HEADER_BYTES, at + ownBytes))
}

/** Reads a message that {@link encodeMessage} wrote. Never throws for what is in the bytes, and copies what it keeps. */
export function decodeMessage(body: Uint8Array): ControlMessage | ControlFault {
  let decoded: wire.Control.$Shape
  try {
    decoded = wire.Control.decode(body)
  } catch {
    return 'control-malformed'
  }
  const message = fromWire(decoded)
  if (message === undefined) return 'control-malformed'
  return findLimitBreach(message) === undefined ? message : 'control-limits'
}

const PHASES: Readonly<Record<Phase, wire.Phase>> = {
  gathering: wire.Phase.GATHERING,
  sending: wire.Phase.SENDING,
  mending: wire.Phase.MENDING,
}

const ABORT_REASONS: Readonly<Record<AbortReason, wire.AbortReason>> = {
  'sender-failed': wire.AbortReason.SENDER_FAILED,
  interrupted: wire.AbortReason.INTERRUPTED,
  'too-slow': wire.AbortReason.TOO_SLOW,
  'data-gone': wire.AbortReason.DATA_GONE,
  'too-many-receivers': wire.AbortReason.TOO_MANY_RECEIVERS,
}

/** proto3 lets unknown numbers of an enum through: they have no name. */
const nameOf = <Name extends string>(names: Readonly<Record<Name, number>>, value: number): Name | undefined =>
  (Object.keys(names) as Name[]).find((name) => names[name] === value)

function toWire(message: ControlMessage): wire.Control.$Properties {
  switch (message.kind) {
    case 'announce': {
      const { imageBytes, ...rest } = message
      const phase = PHASES[message.phase]
      return { announce: { ...rest, phase, ...(imageBytes === undefined ? {} : { imageBytes }) } }
    }
    case 'join':
      return { join: { ...message, receiver: toWide(message.receiver), settled: toPairs(message.settled ?? []) } }
    case 'join-ack':
      return { joinAck: { receivers: message.receivers.map(toWide) } }
    case 'report':
      return { report: { ...message, receiver: toWide(message.receiver) } }
    case 'nack':
      return {
        nack: {
          receiver: toWide(message.receiver),
          slices: message.deficits.map((entry) => entry.slice),
          deficits: message.deficits.map((entry) => entry.deficit),
          heard: message.deficits.map((entry) => entry.heard),
          missing: toPairs(message.missing),
        },
      }
    case 'repair-echo':
      return {
        repairEcho: {
          slices: message.pending.map((entry) => entry.slice),
          symbols: message.pending.map((entry) => entry.symbolCount),
          deferred: toPairs(message.deferred),
        },
      }
    case 'end':
      return { end: { ...message, closing: message.isClosing } }
    case 'done':
      return { done: { ...message, receiver: toWide(message.receiver) } }
    case 'done-ack':
      return { doneAck: { receivers: message.receivers.map(toWide) } }
    case 'leave':
      return { leave: { ...message, receiver: toWide(message.receiver) } }
    case 'challenge':
      return { challenge: { nonce: toWide(message.nonce) } }
    case 'proof':
      return { proof: { nonces: message.nonces.map(toWide) } }
    case 'abort': {
      const whom = message.receiver === undefined ? {} : { receiver: toWide(message.receiver) }
      return {
        abort: { ...whom, reason: ABORT_REASONS[message.reason], text: message.text },
      }
    }
  }
}

/** The message in our terms; undefined when it is none or lacks a part. */
function fromWire(from: wire.Control.$Shape): ControlMessage | undefined {
  if (from.announce) return announceFrom(from.announce)
  if (from.join) return joinFrom(from.join)
  if (from.joinAck) return { kind: 'join-ack', receivers: from.joinAck.receivers?.map(toId) ?? [] }
  if (from.report) {
    return {
      kind: 'report',
      receiver: toId(from.report.receiver),
      name: from.report.name ?? '',
      settledCount: from.report.settledCount ?? 0,
      settledBelow: from.report.settledBelow ?? 0,
      receivedPackets: from.report.receivedPackets ?? 0,
      lostPackets: from.report.lostPackets ?? 0,
      queuePercent: from.report.queuePercent ?? 0,
      echoSentAtUs: from.report.echoSentAtUs ?? 0,
      echoHeldUs: from.report.echoHeldUs ?? 0,
    }
  }
  if (from.nack) return nackFrom(from.nack)
  if (from.repairEcho) return repairEchoFrom(from.repairEcho)
  if (from.end) {
    return {
      kind: 'end',
      sliceCount: from.end.sliceCount ?? 0,
      imageBytes: toNumber(from.end.imageBytes),
      dataBytes: toNumber(from.end.dataBytes),
      rootDigest: Uint8Array.from(from.end.rootDigest ?? []),
      isClosing: from.end.closing ?? false,
    }
  }
  if (from.done) return { kind: 'done', receiver: toId(from.done.receiver), name: from.done.name ?? '' }
  if (from.doneAck) return { kind: 'done-ack', receivers: from.doneAck.receivers?.map(toId) ?? [] }
  if (from.leave) {
    const { receiver, name, reason } = from.leave
    return { kind: 'leave', receiver: toId(receiver), name: name ?? '', reason: reason ?? '' }
  }
  if (from.challenge) return { kind: 'challenge', nonce: toId(from.challenge.nonce) }
  if (from.proof) return { kind: 'proof', nonces: from.proof.nonces?.map(toId) ?? [] }
  if (from.abort) {
    const reason = nameOf(ABORT_REASONS, from.abort.reason ?? 0)
    if (reason === undefined) return undefined
    const whom = from.abort.receiver == null ? {} : { receiver: toId(from.abort.receiver) }
    return { kind: 'abort', ...whom, reason, text: from.abort.text ?? '' }
  }
  return undefined
}

function announceFrom(from: wire.Announce.$Shape): Announce | undefined {
  const phase = nameOf(PHASES, from.phase ?? 0)
  if (!from.feedback || phase === undefined) return undefined
  return {
    kind: 'announce',
    imageId: from.imageId ?? '',
    imageName: from.imageName ?? '',
    imageBytes: from.imageBytes == null ? undefined : toNumber(from.imageBytes),
    sliceBytes: from.sliceBytes ?? 0,
    packetBytes: from.packetBytes ?? 0,
    codec: from.codec ?? 0,
    phase,
    begunCount: from.begunCount ?? 0,
    feedback: {
      grttUs: from.feedback.grttUs ?? 0,
      groupCount: from.feedback.groupCount ?? 0,
      reportIntervalMs: from.feedback.reportIntervalMs ?? 0,
      receiverTimeoutMs: from.feedback.receiverTimeoutMs ?? 0,
      joinLimit: from.feedback.joinLimit ?? 0,
    },
    sentAtUs: from.sentAtUs ?? 0,
    rateBitsPerSec: toNumber(from.rateBitsPerSec),
    ...(from.expectedSliceCount ? { expectedSliceCount: from.expectedSliceCount } : {}),
  }
}

function joinFrom(from: wire.Join.$Shape): Join | undefined {
  const settled = toRanges(from.settled ?? [])
  if (settled === undefined) return undefined
  const join = { kind: 'join', receiver: toId(from.receiver), name: from.name ?? '' } as const
  return settled.length === 0 ? join : { ...join, settled }
}

function nackFrom(from: wire.Nack.$Shape): Nack | undefined {
  const slices = from.slices ?? []
  const deficits = from.deficits ?? []
  const heard = from.heard ?? []
  const missing = toRanges(from.missing ?? [])
  if (deficits.length !== slices.length || heard.length !== slices.length || missing === undefined) return undefined
  return {
    kind: 'nack',
    receiver: toId(from.receiver),
    deficits: slices.map((slice, index) => ({ slice, deficit: deficits[index]!, heard: heard[index]! })),
    missing,
  }
}

function repairEchoFrom(from: wire.RepairEcho.$Shape): RepairEcho | undefined {
  const slices = from.slices ?? []
  const symbols = from.symbols ?? []
  const deferred = toRanges(from.deferred ?? [])
  if (symbols.length !== slices.length || deferred === undefined) return undefined
  return {
    kind: 'repair-echo',
    pending: slices.map((slice, index) => ({ slice, symbolCount: symbols[index]! })),
    deferred,
  }
}

const toPairs = (ranges: readonly SliceRange[]): number[] => ranges.flatMap(({ first, count }) => [first, count])

function toRanges(pairs: readonly number[]): SliceRange[] | undefined {
  if (pairs.length % 2 !== 0) return undefined
  return Array.from({ length: pairs.length / 2 }, (_, index) => ({
    first: pairs[2 * index]!,
    count: pairs[2 * index + 1]!,
  }))
}

/** A 64-bit field as protobufjs takes and gives it. Only the four functions below know of it. */
type Wide = NonNullable<wire.Join.$Properties['receiver']>

// protobufjs reads no more of a Long than its halves.
const toWide = (id: Id64): Wide => ({ high: id.high | 0, low: id.low | 0, unsigned: true }) as Wide

function toId(value: Wide | null | undefined): Id64 {
  if (value == null) return { high: 0, low: 0 }
  if (typeof value === 'number') return { high: Math.floor(value / 4_294_967_296), low: value >>> 0 }
  return { high: value.high >>> 0, low: value.low >>> 0 }
}

/** Above 2^53 the number is not exact, but above 2^53 all the same: the limits refuse it. */
function toNumber(value: Wide | null | undefined): number {
  const { high, low } = toId(value)
  return high * 4_294_967_296 + low
}
