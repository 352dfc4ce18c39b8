import { describe, expect, it } from 'vitest'
import {
  decodeControl,
  encodeControl,
  hasSession,
  imageTagAt,
  LIMITS,
  JOIN_DRAW_COUNT,
  MAX_CONTROL_BYTES,
  MAX_GRTT_US,
  MAX_RECEIVER_COUNT,
  MAX_SLICE_COUNT,
  MIN_GRTT_US,
  MIN_MTU_BYTES,
  overheadBytes,
  packetTypeAt,
  PacketType,
  CONTROL_HEADER_BYTES,
  controlPacketBytesAt,
  PREFIX_BYTES,
  type AbortReason,
  type ControlMessage,
  type Phase,
} from '../../../src/protocol/index.ts'
import {
  ABORT,
  ANNOUNCE,
  DONE,
  END,
  JOIN,
  JOIN_ACK,
  LARGEST,
  LEAVE,
  NACK,
  RECEIVER,
  REPAIR_ECHO,
  REPORT,
  SAMPLES,
  SESSION,
  TAG,
} from './sample-messages.ts'

const encode = (message: ControlMessage): Uint8Array => encodeControl(message, SESSION, TAG)
const decode = (packet: Uint8Array): unknown => decodeControl(packet, 0, packet.length)

/** A control packet with these bytes of protobuf. */
function packetOf(...body: readonly number[]): Uint8Array {
  const prefix = encode(DONE).subarray(0, PREFIX_BYTES)
  return Uint8Array.from([...prefix, body.length >>> 8, body.length & 0xff, ...body])
}

/** A length-delimited field of protobuf. The content must be shorter than 16 KiB. */
function field(number: number, content: readonly number[]): number[] {
  const { length } = content
  return [(number << 3) | 2, ...(length < 128 ? [length] : [(length & 127) | 128, length >> 7]), ...content]
}

describe('control messages', () => {
  it.each(SAMPLES.map((message) => [message.kind, message] as const))('come back as they went: %s', (_, message) => {
    expect(decode(encode(message))).toEqual(message)
  })

  it.each<Phase>(['gathering', 'sending', 'mending'])('carry the phase %s', (phase) => {
    const message = { ...ANNOUNCE, phase }
    expect(decode(encode(message))).toEqual(message)
  })

  it.each<AbortReason>(['sender-failed', 'interrupted', 'too-slow', 'data-gone', 'too-many-receivers'])(
    'carry the reason %s',
    (reason) => {
      const message = { ...ABORT, reason }
      expect(decode(encode(message))).toEqual(message)
    },
  )

  it('tell an image of unknown size from an empty one', () => {
    expect(decode(encode({ ...ANNOUNCE, imageBytes: undefined }))).toEqual({ ...ANNOUNCE, imageBytes: undefined })
    expect(decode(encode({ ...ANNOUNCE, imageBytes: 0 }))).toEqual({ ...ANNOUNCE, imageBytes: 0 })
  })

  it('tell an abort for one receiver from an abort for all', () => {
    const forOne = { ...ABORT, receiver: RECEIVER }
    expect(decode(encode(forOne))).toEqual(forOne)
    expect(decode(encode(ABORT))).not.toHaveProperty('receiver')
  })

  it('carry empty lists and empty names', () => {
    for (const message of [
      { ...NACK, deficits: [], missing: [] },
      { ...REPAIR_ECHO, pending: [], deferred: [] },
      { ...JOIN_ACK, receivers: [] },
      { ...JOIN, name: '' },
    ]) {
      expect(decode(encode(message))).toEqual(message)
    }
  })

  it.each(['\ufeffnode', '日本', '😀', 'a\u0301'])('carry the name %j unchanged', (name) => {
    expect(decode(encode({ ...JOIN, name }))).toEqual({ ...JOIN, name })
  })

  it('stand behind the prefix of a control packet', () => {
    const packet = encode(REPORT)
    expect(packetTypeAt(packet, 0, packet.length)).toBe(PacketType.control)
    expect(hasSession(packet, 0, SESSION)).toBe(true)
    expect(imageTagAt(packet, 0)).toBe(TAG)
  })

  it('are found in the middle of a larger buffer', () => {
    const packet = encode(NACK)
    const buffer = new Uint8Array(packet.length + 50).fill(0xee)
    buffer.set(packet, 20)
    expect(decodeControl(buffer, 20, packet.length)).toEqual(NACK)
  })

  it('do not alias the bytes that they were read from', () => {
    for (const packet of [encode(END), Buffer.from(encode(END))]) {
      const message = decode(packet)
      packet.fill(0xff)
      expect(message).toEqual(END)
    }
  })

  it.each(LARGEST.map((message) => [message.kind, message] as const))(
    'fit the smallest packet with all values at their limits: %s',
    (_, message) => {
      const packet = encode(message)
      expect(packet.length).toBeLessThanOrEqual(MAX_CONTROL_BYTES)
      expect(decode(packet)).toEqual(message)
    },
  )

  it('fit the smallest MTU of both families', () => {
    expect(MAX_CONTROL_BYTES).toBe(MIN_MTU_BYTES - overheadBytes(6))
    expect(MAX_CONTROL_BYTES).toBeLessThan(MIN_MTU_BYTES - overheadBytes(4))
  })
})

describe('what is no control message', () => {
  it.each<[string, Uint8Array]>([
    ['nothing behind the prefix', packetOf()],
    ['a message of an unknown kind', packetOf(...field(15, []))],
    ['a field that is cut off', packetOf(0x0a)],
    ['a length beyond the packet', packetOf(0x0a, 0x7f)],
    ['a varint without end', packetOf(...Array.from({ length: 30 }, () => 0xff))],
    ['a name that is not UTF-8', packetOf(...field(2, [...field(2, [0xc3, 0x28])]))],
    ['groups in groups', packetOf(...Array.from({ length: 500 }, () => 0x7b))],
    ['slices without deficits', packetOf(...field(5, field(2, [1, 2])))],
    ['more deficits than slices', packetOf(...field(5, [...field(2, [1]), ...field(3, [1, 2]), ...field(4, [0])]))],
    ['fewer heard than slices', packetOf(...field(5, [...field(2, [1]), ...field(3, [1])]))],
    ['half a range', packetOf(...field(5, field(5, [7])))],
    ['an echo without counts', packetOf(...field(6, field(1, [1])))],
    ['half a deferred range', packetOf(...field(6, field(3, [7])))],
    ['an announce without feedback', packetOf(...field(1, field(1, [0x61])))],
    ['an announce of an unknown phase', packetOf(...field(1, [0x38, 3, ...field(9, [])]))],
    ['an abort for an unknown reason', packetOf(...field(11, [0x10, 5]))],
  ])('is malformed: %s', (_, packet) => {
    expect(decode(packet)).toBe('control-malformed')
  })

  it('is malformed when it is shorter than the prefix', () => {
    expect(decodeControl(encode(DONE), 0, 3)).toBe('control-malformed')
  })
})

describe('what is beyond the limits', () => {
  const tooLong = 'x'.repeat(LIMITS.textBytes + 1)
  const { deficits, missing } = NACK
  const [deficit] = deficits as [(typeof deficits)[0]]
  const ranges = Array.from({ length: LIMITS.rangesPerMessage + 1 }, () => missing[0]!)
  const { feedback } = ANNOUNCE

  it.each<[string, ControlMessage, RegExp]>([
    ['an empty image id', { ...ANNOUNCE, imageId: '' }, /imageId/],
    ['a long image id', { ...ANNOUNCE, imageId: tooLong }, /imageId/],
    ['a long image name', { ...ANNOUNCE, imageName: tooLong }, /imageName/],
    ['a name that is long in UTF-8 only', { ...JOIN, name: 'ü'.repeat(LIMITS.textBytes / 2 + 1) }, /name/],
    ['a name with a control character', { ...JOIN, name: 'a\u001b[2J' }, /name/],
    ['a name of two lines', { ...JOIN, name: 'a\nb' }, /name/],
    ['half a surrogate pair', { ...JOIN, name: '\ud83d' }, /name/],
    ['an unsafe image size', { ...ANNOUNCE, imageBytes: 2 ** 53 }, /imageBytes/],
    ['a fraction of a byte', { ...ANNOUNCE, imageBytes: 0.5 }, /imageBytes/],
    ['no slice size', { ...ANNOUNCE, sliceBytes: 0 }, /sliceBytes/],
    ['no packet size', { ...ANNOUNCE, packetBytes: 0 }, /packetBytes/],
    ['a negative codec', { ...ANNOUNCE, codec: -1 }, /codec/],
    ['too many slices begun', { ...ANNOUNCE, begunCount: MAX_SLICE_COUNT + 1 }, /begunCount/],
    ['a clock that was not wrapped', { ...ANNOUNCE, sentAtUs: 2 ** 32 }, /sentAtUs/],
    ['too many slices expected', { ...ANNOUNCE, expectedSliceCount: MAX_SLICE_COUNT + 1 }, /expectedSliceCount/],
    ['an unsafe rate', { ...ANNOUNCE, rateBitsPerSec: Infinity }, /rateBitsPerSec/],
    ['a short round trip', { ...ANNOUNCE, feedback: { ...feedback, grttUs: MIN_GRTT_US - 1 } }, /grttUs/],
    ['a long round trip', { ...ANNOUNCE, feedback: { ...feedback, grttUs: MAX_GRTT_US + 1 } }, /grttUs/],
    ['a huge group', { ...ANNOUNCE, feedback: { ...feedback, groupCount: MAX_RECEIVER_COUNT + 1 } }, /groupCount/],
    ['reports without pause', { ...ANNOUNCE, feedback: { ...feedback, reportIntervalMs: 24 } }, /reportIntervalMs/],
    ['a group that nobody may join', { ...ANNOUNCE, feedback: { ...feedback, joinLimit: 0 } }, /joinLimit/],
    ['more than all', { ...ANNOUNCE, feedback: { ...feedback, joinLimit: JOIN_DRAW_COUNT + 1 } }, /joinLimit/],
    ['no time to live', { ...ANNOUNCE, feedback: { ...feedback, receiverTimeoutMs: 0 } }, /receiverTimeoutMs/],
    ['the receiver 0', { ...JOIN, receiver: { high: 0, low: 0 } }, /receiver/],
    ['half an id that is no word', { ...DONE, receiver: { high: 1, low: 2 ** 32 } }, /receiver/],
    ['a name of a finished one', { ...DONE, name: tooLong }, /name/],
    ['many receivers', { ...JOIN_ACK, receivers: Array.from({ length: 61 }, () => RECEIVER) }, /receivers/],
    ['the receiver 0 among others', { ...JOIN_ACK, receivers: [RECEIVER, { high: 0, low: 0 }] }, /receiver/],
    ['more settled than can be', { ...REPORT, settledCount: MAX_SLICE_COUNT + 1 }, /settledCount/],
    ['settled below nowhere', { ...REPORT, settledBelow: MAX_SLICE_COUNT + 1 }, /settledBelow/],
    ['a long name in a report', { ...REPORT, name: tooLong }, /name/],
    ['a negative count', { ...REPORT, lostPackets: -1 }, /lostPackets/],
    ['a fuller than full queue', { ...REPORT, queuePercent: 101 }, /queuePercent/],
    ['many deficits', { ...NACK, deficits: Array.from({ length: 41 }, () => deficit) }, /deficits/],
    ['many missing ranges', { ...NACK, missing: ranges }, /missing/],
    ['a slice beyond the last', { ...NACK, deficits: [{ ...deficit, slice: MAX_SLICE_COUNT }] }, /slice/],
    ['a deficit of nothing', { ...NACK, deficits: [{ ...deficit, deficit: 0 }] }, /deficit/],
    ['a deficit of more than all', { ...NACK, deficits: [{ ...deficit, deficit: 256 }] }, /deficit/],
    ['a symbol beyond the last', { ...NACK, deficits: [{ ...deficit, heard: 256 }] }, /heard/],
    ['an empty range', { ...NACK, missing: [{ first: 3, count: 0 }] }, /count/],
    ['a range beyond the last', { ...NACK, missing: [{ first: 1, count: MAX_SLICE_COUNT }] }, /count/],
    ['many slices in an echo', { ...REPAIR_ECHO, pending: Array(41).fill({ slice: 1, symbolCount: 1 }) }, /pending/],
    ['an echo of nothing', { ...REPAIR_ECHO, pending: [{ slice: 1, symbolCount: 0 }] }, /symbolCount/],
    ['many deferred ranges', { ...REPAIR_ECHO, deferred: ranges }, /deferred/],
    ['an end of too many slices', { ...END, sliceCount: MAX_SLICE_COUNT + 1 }, /sliceCount/],
    ['more data than image', { ...END, dataBytes: END.imageBytes + 1 }, /dataBytes/],
    ['a short digest', { ...END, rootDigest: new Uint8Array(31) }, /rootDigest/],
    ['a long reason', { ...LEAVE, reason: tooLong }, /reason/],
    ['a long farewell', { ...ABORT, text: tooLong }, /text/],
    ['an abort for the receiver 0', { ...ABORT, receiver: { high: 0, low: 0 } }, /receiver/],
  ])('is not sent: %s', (_, message, expected) => {
    const failure = new RegExp(`^${message.kind}: .*${expected.source}`)
    expect(() => encode(message)).toThrow(RangeError)
    expect(() => encode(message)).toThrow(failure)
  })

  it.each<[string, Uint8Array]>([
    ['a join without receiver', packetOf(...field(2, field(2, [0x61])))],
    ['a name with a control character', packetOf(...field(2, [9, 1, 0, 0, 0, 0, 0, 0, 0, ...field(2, [0x1b])]))],
    ['an end without digest', packetOf(...field(7, [8, 1]))],
    ['an end of 2^64 - 1 bytes', packetOf(...field(7, [16, ...Array<number>(9).fill(255), 1, ...field(3, Array(32))]))],
    ['an empty announce', packetOf(...field(1, field(9, [])))],
    ['61 receivers', packetOf(...field(3, field(1, Array<number>(61 * 8).fill(1))))],
    ['400 slices', packetOf(...field(6, [...field(1, Array<number>(200).fill(1)), ...field(2, Array(200).fill(1))]))],
    ['more bytes than any message has', packetOf(...new Uint8Array(MAX_CONTROL_BYTES))],
  ])('is not taken: %s', (_, packet) => {
    expect(decode(packet)).toBe('control-limits')
  })

  it('ignores fields of later versions', () => {
    expect(decode(packetOf(...encode(DONE).subarray(CONTROL_HEADER_BYTES), ...field(15, [1, 2, 3])))).toEqual(DONE)
  })

  it('reads the first of several packets that were joined, and knows where the next begins', () => {
    const joined = Uint8Array.from([...encode(DONE), ...encode(DONE)])
    expect(decode(joined)).toEqual(DONE)
    const next = controlPacketBytesAt(joined, 0)
    expect(decodeControl(joined, next, joined.length - next)).toEqual(DONE)
    expect(decode(encode(DONE).subarray(0, -1))).toBe('control-malformed')
  })
})
