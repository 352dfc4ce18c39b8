import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  Codec,
  decodeControl,
  decodeFrame,
  describePacket,
  encodeControl,
  encodeDataFieldsInto,
  encodeFrameHeadInto,
  encodePrefixInto,
  frameBytesAt,
  frameHeadBytes,
  imageTagAt,
  isWireText,
  LIMITS,
  MAX_CONTROL_BYTES,
  MAX_GRTT_US,
  MAX_RECEIVER_COUNT,
  MAX_SLICE_COUNT,
  MAX_SYMBOL_COUNT,
  maxRunCount,
  MIN_GRTT_US,
  packetTypeAt,
  PacketType,
  PREFIX_BYTES,
  CONTROL_HEADER_BYTES,
  PROTOCOL_VERSION,
  sessionAt,
  sliceIndexAt,
  symbolIndexAt,
  type ControlMessage,
  type Id64,
  type Run,
} from '../../src/protocol/index.ts'
import { encodeFrameHeadReference } from '../reference/frame-head.ts'
import { decodeHeaderReference, encodeHeaderReference } from '../reference/packet.ts'

const upTo = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max })
const from1To = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max })
const word = upTo(0xffff_ffff)
const size = upTo(Number.MAX_SAFE_INTEGER)
const receiver: fc.Arbitrary<Id64> = fc.record({ high: word, low: from1To(0xffff_ffff) })
const text = fc.string({ unit: 'grapheme', maxLength: LIMITS.textBytes }).filter(isWireText)
const slice = upTo(MAX_SLICE_COUNT - 1)
const range = slice.chain((first) => fc.record({ first: fc.constant(first), count: from1To(MAX_SLICE_COUNT - first) }))
const ranges = fc.array(range, { maxLength: LIMITS.rangesPerMessage })
const receivers = fc.array(receiver, { maxLength: LIMITS.acknowledgedReceivers })
const upToSymbols = from1To(MAX_SYMBOL_COUNT)
const kind = <Kind extends string>(value: Kind): fc.Arbitrary<Kind> => fc.constant(value)

const message: fc.Arbitrary<ControlMessage> = fc.oneof(
  fc.record({
    kind: kind('announce'),
    imageId: text.filter((drawn) => drawn !== ''),
    imageName: text,
    imageBytes: fc.option(size, { nil: undefined }),
    sliceBytes: from1To(0xffff_ffff),
    packetBytes: from1To(0xffff_ffff),
    codec: word,
    phase: fc.constantFrom('gathering' as const, 'sending' as const, 'mending' as const),
    begunCount: upTo(MAX_SLICE_COUNT),
    feedback: fc.record({
      grttUs: fc.integer({ min: MIN_GRTT_US, max: MAX_GRTT_US }),
      groupCount: upTo(MAX_RECEIVER_COUNT),
      reportIntervalMs: fc.integer({ min: 25, max: 0xffff_ffff }),
      receiverTimeoutMs: from1To(0xffff_ffff),
      joinLimit: from1To(65_536),
    }),
    sentAtUs: word,
    rateBitsPerSec: size,
    expectedSliceCount: from1To(MAX_SLICE_COUNT),
  }),
  fc.record({ kind: fc.constantFrom('join' as const, 'done' as const), receiver, name: text }),
  fc.record({ kind: fc.constantFrom('join-ack' as const, 'done-ack' as const), receivers }),
  fc.record({
    kind: kind('report'),
    receiver,
    name: text,
    settledCount: upTo(MAX_SLICE_COUNT),
    settledBelow: upTo(MAX_SLICE_COUNT),
    receivedPackets: word,
    lostPackets: word,
    queuePercent: upTo(100),
    echoSentAtUs: word,
    echoHeldUs: word,
  }),
  fc.record({
    kind: kind('nack'),
    receiver,
    deficits: fc.array(fc.record({ slice, deficit: upToSymbols, heard: upTo(MAX_SYMBOL_COUNT) }), {
      maxLength: LIMITS.slicesPerMessage,
    }),
    missing: ranges,
  }),
  fc.record({
    kind: kind('repair-echo'),
    pending: fc.array(fc.record({ slice, symbolCount: upToSymbols }), { maxLength: LIMITS.slicesPerMessage }),
    deferred: ranges,
  }),
  size.chain((imageBytes) =>
    fc.record({
      kind: kind('end'),
      sliceCount: upTo(MAX_SLICE_COUNT),
      imageBytes: fc.constant(imageBytes),
      dataBytes: upTo(imageBytes),
      rootDigest: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      isClosing: fc.boolean(),
    }),
  ),
  fc.record({ kind: kind('leave'), receiver, name: text, reason: text }),
  fc.record(
    {
      kind: kind('abort'),
      receiver,
      reason: fc.constantFrom(
        'sender-failed' as const,
        'interrupted' as const,
        'too-slow' as const,
        'data-gone' as const,
        'too-many-receivers' as const,
      ),
      text,
    },
    { requiredKeys: ['kind', 'reason', 'text'] },
  ),
)

const session = fc.record({ high: word, low: word })

/** Bytes with some of them changed, put in, taken out, or cut off. */
const mutated = (bytes: fc.Arbitrary<Uint8Array>, keepBytes: number): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(
      bytes,
      fc.array(fc.record({ at: fc.nat(), cut: fc.nat(3), put: fc.uint8Array({ maxLength: 3 }) }), { maxLength: 6 }),
    )
    .map(([original, changes]) => {
      const result = [...original]
      for (const { at, cut, put } of changes) {
        result.splice(keepBytes + (at % Math.max(1, result.length - keepBytes)), cut, ...put)
      }
      return Uint8Array.from(result)
    })

/** A control packet with any protobuf behind it. */
const controlPacketOf = (body: Uint8Array): Uint8Array => {
  const packet = new Uint8Array(CONTROL_HEADER_BYTES + body.length)
  encodePrefixInto(packet, 0, PacketType.control, { high: 1, low: 2 }, 3)
  packet.set([body.length >>> 8, body.length & 0xff], PREFIX_BYTES)
  packet.set(body, CONTROL_HEADER_BYTES)
  return packet
}

/** What a decoder may give for foreign bytes: a fault, or a message that could have been sent as it is. */
function expectFaultOrMessage(packet: Uint8Array): void {
  const decoded = decodeControl(packet, 0, packet.length)
  if (typeof decoded === 'string') {
    expect(['control-malformed', 'control-limits']).toContain(decoded)
    return
  }
  const again = encodeControl(decoded, sessionAt(packet, 0), imageTagAt(packet, 0))
  expect(again.length).toBeLessThanOrEqual(MAX_CONTROL_BYTES)
  expect(decodeControl(again, 0, again.length)).toEqual(decoded)
}

describe('control messages', () => {
  it('come back as they went, in a packet that fits the smallest MTU', () => {
    fc.assert(
      fc.property(message, session, word, upTo(40), (sent, id, tag, at) => {
        const packet = encodeControl(sent, id, tag)
        expect(packet.length).toBeLessThanOrEqual(MAX_CONTROL_BYTES)
        const buffer = new Uint8Array(at + packet.length + 5).fill(0x5a)
        buffer.set(packet, at)
        expect(packetTypeAt(buffer, at, packet.length)).toBe(PacketType.control)
        expect(sessionAt(buffer, at)).toEqual(id)
        expect(imageTagAt(buffer, at)).toBe(tag)
        expect(decodeControl(buffer, at, packet.length)).toEqual(sent)
      }),
      { numRuns: 2000 },
    )
  })

  it('are refused or sound after any damage', () => {
    const packets = mutated(
      message.map((sent) => encodeControl(sent, { high: 1, low: 2 }, 3)),
      PREFIX_BYTES,
    )
    fc.assert(fc.property(packets, expectFaultOrMessage), { numRuns: 5000 })
  })

  it('are refused or sound when they are any bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }).map(controlPacketOf), expectFaultOrMessage), {
      numRuns: 5000,
    })
  })

  it('are not even parsed beyond the longest', () => {
    fc.assert(
      fc.property(from1To(65_507 - MAX_CONTROL_BYTES), (excess) => {
        const bytes = controlPacketOf(new Uint8Array(MAX_CONTROL_BYTES - CONTROL_HEADER_BYTES + excess))
        expect(decodeControl(bytes, 0, bytes.length)).toBe('control-limits')
      }),
    )
  })
})

describe('data packets', () => {
  it('have the header of the reference', () => {
    const fields = fc.record({
      version: fc.constant(PROTOCOL_VERSION),
      type: fc.constant(PacketType.data),
      session,
      tag: word,
      slice: word,
      frameBytes: upTo(0xff_ffff),
      symbol: upTo(255),
    })
    fc.assert(
      fc.property(fields, upTo(40), (sent, at) => {
        const bytes = new Uint8Array(at + 100).fill(0xa5)
        encodePrefixInto(bytes, at, PacketType.data, sent.session, sent.tag)
        encodeDataFieldsInto(bytes, at, sent.slice, sent.frameBytes, sent.symbol)
        const header = encodeHeaderReference(sent)
        expect(bytes.subarray(at, at + header.length)).toEqual(header)
        expect(decodeHeaderReference(bytes.subarray(at))).toEqual(sent)
        expect(sessionAt(bytes, at)).toEqual(sent.session)
        expect([imageTagAt(bytes, at), sliceIndexAt(bytes, at)]).toEqual([sent.tag, sent.slice])
        expect([frameBytesAt(bytes, at), symbolIndexAt(bytes, at)]).toEqual([sent.frameBytes, sent.symbol])
      }),
      { numRuns: 1000 },
    )
  })
})

describe('any bytes', () => {
  const packets = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    mutated(
      message.map((sent) => encodeControl(sent, { high: 1, low: 2 }, 3)),
      0,
    ),
  )

  it('are described in one line', () => {
    fc.assert(
      fc.property(packets, (bytes) => {
        expect(describePacket(bytes)).toMatch(/^[a-z][^\p{Cc}\p{Zl}\p{Zp}]*$/u)
      }),
      { numRuns: 3000 },
    )
  })
})

describe('frames', () => {
  const SLICE_BYTES = 65_536

  /** Runs from any offset on with any gaps, whose data fits a slice. */
  const frame = fc
    .record({
      codec: fc.constantFrom(...Object.values(Codec)),
      spanStart: upTo(2 ** 44),
      steps: fc.array(fc.record({ gap: upTo(2 ** 40), lengthBytes: from1To(2048), isZero: fc.boolean() }), {
        minLength: 1,
        maxLength: maxRunCount(SLICE_BYTES),
      }),
      shrunk: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    })
    .map(({ steps, shrunk, ...rest }) => {
      const runs: Run[] = []
      let offset = rest.spanStart
      for (const { gap, lengthBytes, isZero } of steps) {
        runs.push({ offset: offset + gap, lengthBytes, isZero })
        offset += gap + lengthBytes
      }
      const plainBytes = runs.reduce((sum, run) => sum + (run.isZero ? 0 : run.lengthBytes), 0)
      const codec = plainBytes === 0 ? Codec.none : rest.codec
      const head = { codec, spanStart: rest.spanStart, plainBytes, runs }
      const payloadBytes = codec === Codec.none ? plainBytes : Math.floor(plainBytes * shrunk)
      const bytes = new Uint8Array(frameHeadBytes(runs.length) + payloadBytes)
      encodeFrameHeadInto(bytes, head)
      return { head, bytes, payloadBytes }
    })

  it('come back as they went, with the head of the reference', () => {
    fc.assert(
      fc.property(frame, ({ head, bytes, payloadBytes }) => {
        const payloadOffset = bytes.length - payloadBytes
        expect(bytes.subarray(0, payloadOffset)).toEqual(encodeFrameHeadReference(head))
        expect(decodeFrame(bytes, SLICE_BYTES)).toEqual({ ...head, payloadOffset, digest: new Uint8Array(32) })
      }),
      { numRuns: 500 },
    )
  })

  it('are refused or sound after any damage', () => {
    fc.assert(
      fc.property(
        mutated(
          frame.map(({ bytes }) => bytes.subarray(0, 600)),
          0,
        ),
        (bytes) => {
          const decoded = decodeFrame(bytes, SLICE_BYTES)
          if (typeof decoded === 'string') {
            expect(['frame-short', 'frame-codec', 'frame-runs', 'frame-lengths']).toContain(decoded)
            return
          }
          const { runs, plainBytes, spanStart, payloadOffset } = decoded
          expect(plainBytes).toBeLessThanOrEqual(SLICE_BYTES)
          expect(payloadOffset).toBe(frameHeadBytes(runs.length))
          let end = spanStart
          for (const { offset, lengthBytes } of runs) {
            expect(offset).toBeGreaterThanOrEqual(end)
            end = offset + lengthBytes
          }
          expect(end).toBeLessThanOrEqual(Number.MAX_SAFE_INTEGER)
        },
      ),
      { numRuns: 3000 },
    )
  })
})
