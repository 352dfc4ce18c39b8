import { Lzo1x } from '../../src/lzo/index.ts'
import {
  announcedGeometry,
  areDataFieldsValid,
  Codec,
  controlPacketBytesAt,
  DATA_HEADER_BYTES,
  DIGEST_COVERS_FROM,
  DIGEST_OFFSET,
  FRAME_HEADER_BYTES,
  decodeControl,
  decodeFrame,
  describePacket,
  encodeControl,
  encodeDataFieldsInto,
  encodeFrameHeadInto,
  encodePrefixInto,
  encodeRefusal,
  encodeSealed,
  frameBytesAt,
  frameHeadBytes,
  imageTagAt,
  MAX_SOURCE_SYMBOL_COUNT,
  maxFrameBytes,
  PacketType,
  openSealed,
  packetTypeAt,
  peekSealed,
  sealedPacketBytesAt,
  sessionAt,
  sliceIndexAt,
  sourceSymbolCount,
  symbolIndexAt,
} from '../../src/protocol/index.ts'
import { decodePacket, encodeFiller, encodeWord } from '../../src/probe/messages.ts'
import { FrameConsumer } from '../../src/receiver/frame-consumer.ts'
import { gmac } from '../../src/digest.ts'
import type { ImageSink } from '../../src/sparse/index.ts'
import { groupKeyOf, parseSigningKey, parseVerifyingKey, ReceiverKeys, SenderKeys } from '../../src/trust/index.ts'
import { decompressReference } from '../reference/lzo1x.ts'
import { SAMPLES, SESSION, TAG } from '../unit/protocol/sample-messages.ts'
import type { FuzzTarget } from './fuzz.ts'
import { must, same } from './must.ts'
import { SIGN_KEY_TEXT, VERIFY_KEY_TEXT } from './sample-keys.ts'

const SLICE_BYTES = 16_384

function dataPacket(): Uint8Array {
  const packet = new Uint8Array(DATA_HEADER_BYTES + 100)
  encodePrefixInto(packet, 0, PacketType.data, SESSION, TAG)
  encodeDataFieldsInto(packet, 0, 812, 16_448, 183)
  return packet
}

const controlPackets = (): Uint8Array[] => SAMPLES.map((message) => encodeControl(message, SESSION, TAG))

const packet: FuzzTarget = {
  name: 'packet',
  seeds: () => [dataPacket(), encodeRefusal(SESSION), ...controlPackets().slice(0, 3)],
  run: (input) => {
    const type = packetTypeAt(input, 0, input.length)
    must(/^[a-z][^\p{Cc}\p{Zl}\p{Zp}]*$/u.test(describePacket(input)), 'a packet is described in more than one line')
    if (type !== PacketType.data) return 1
    const [slice, frameBytes, symbol] = [sliceIndexAt(input, 0), frameBytesAt(input, 0), symbolIndexAt(input, 0)]
    if (!areDataFieldsValid(frameBytes, symbol, input.length - DATA_HEADER_BYTES)) return 1
    must(sourceSymbolCount(frameBytes, input.length - DATA_HEADER_BYTES) <= MAX_SOURCE_SYMBOL_COUNT, 'too many symbols')
    const again = input.slice()
    encodePrefixInto(again, 0, PacketType.data, sessionAt(input, 0), imageTagAt(input, 0))
    encodeDataFieldsInto(again, 0, slice, frameBytes, symbol)
    must(same(again, input), 'a data header does not come back as it went')
    return 1
  },
}

const control: FuzzTarget = {
  name: 'control',
  seeds: controlPackets,
  run: (input) => {
    if (packetTypeAt(input, 0, input.length) !== PacketType.control) return 1
    must(controlPacketBytesAt(input, 0) > 0, 'a control packet without length')
    const message = decodeControl(input, 0, input.length)
    if (typeof message === 'string') return 1
    // Whatever is taken is within the limits, so that it can be said again.
    const again = decodeControl(encodeControl(message, SESSION, TAG), 0, 65_536)
    must(typeof again !== 'string', 'a message that was taken cannot be sent')
    if (message.kind === 'announce') announcedGeometry(message.sliceBytes, message.packetBytes)
    return 1
  },
}

const groupKey = groupKeyOf(new Uint8Array(32).fill(1))
const signKey = parseSigningKey('seed', SIGN_KEY_TEXT)
const verifyKey = parseVerifyingKey('seed', VERIFY_KEY_TEXT)
const MODES = [
  [true, false],
  [false, true],
  [true, true],
] as const
const proofs = MODES.map(([isKeyed, isSigned]) =>
  new ReceiverKeys(isKeyed ? groupKey : undefined, isSigned ? verifyKey : undefined).trust!.open(SESSION),
)
const sealedPackets = (): Uint8Array[] =>
  MODES.flatMap(([isKeyed, isSigned]) => {
    const keys = new SenderKeys(isKeyed ? groupKey : undefined, isSigned ? signKey : undefined)
    const trust = keys.open(SESSION, 'image').trust!
    return SAMPLES.map((message, index) => encodeSealed(message, SESSION, TAG, 1 + index, trust, trust))
  })
const genuine = new Set(sealedPackets().map((bytes) => Buffer.from(bytes).toString('latin1')))

const sealed: FuzzTarget = {
  name: 'sealed',
  seeds: sealedPackets,
  run: (input) => {
    if (packetTypeAt(input, 0, input.length) !== PacketType.sealed) return 1
    must(sealedPacketBytesAt(input, 0) > 0, 'a sealed packet without length')
    peekSealed(input, 0, input.length)
    openSealed(input, 0, input.length, {})
    for (const proof of proofs) {
      const opened = openSealed(input, 0, input.length, proof)
      if (typeof opened === 'string' || !opened.isProven) continue
      const bytes = Buffer.from(input.subarray(0, sealedPacketBytesAt(input, 0)))
      must(genuine.has(bytes.toString('latin1')), 'a packet that nobody sealed is believed')
    }
    return 1
  },
}

const probe: FuzzTarget = {
  name: 'probe',
  seeds: () => {
    const counts = { longestBytes: 1472, streamCount: 900, droppedCount: 3, recvBufferBytes: 8_388_608 }
    return [
      encodeWord('0123abcd', { kind: 'hello', number: 1 }),
      encodeWord('0123abcd', { kind: 'answer', number: 7, listener: '89ab', name: 'node-1', ...counts }),
      encodeWord('0123abcd', { kind: 'answer', number: 8, listener: '', name: 'ü', ...counts, diskBytesPerSec: 1e9 }),
      encodeFiller('0123abcd', 'size', 200),
      encodeFiller('0123abcd', 'stream', 100),
    ]
  },
  run: (input) => {
    const heard = decodePacket(input)
    if (heard === undefined || 'filler' in heard) return 1
    must(input.length <= 512, 'a word is too long')
    const again = encodeWord(heard.probe, heard.word)
    // What was no text comes back longer.
    if (again.length > 512) return 1
    must(JSON.stringify(decodePacket(again)) === JSON.stringify(heard), 'a word does not come back as it went')
    return 1
  },
}

/** A frame with one run of data; its digest is not right. */
function frameOf(codec: Codec, plainBytes: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(frameHeadBytes(2) + payload.length)
  const runs = [
    { offset: 8192, lengthBytes: plainBytes, isZero: false },
    { offset: 40_960, lengthBytes: 4096, isZero: true },
  ]
  encodeFrameHeadInto(frame, { codec, spanStart: 4096, plainBytes, runs })
  frame.set(payload, frameHeadBytes(2))
  return frame
}

const lzo = new Lzo1x()
const text = Uint8Array.from({ length: 2000 }, (_, at) => 65 + ((at * at) % 7))
function compressed(): Uint8Array {
  const into = new Uint8Array(text.length)
  return into.slice(0, lzo.compressInto(text, into))
}

const frames = (): Uint8Array[] => [
  frameOf(Codec.none, 100, text.subarray(0, 100)),
  frameOf(Codec.lzo, text.length, compressed()),
  frameOf(Codec.zstd, text.length, Buffer.from('28b52ffd045821000041414141', 'hex')),
]

const frame: FuzzTarget = {
  name: 'frame',
  seeds: frames,
  run: (input) => {
    const header = decodeFrame(input, SLICE_BYTES)
    if (typeof header === 'string') return 1
    let end = header.spanStart
    let plainBytes = 0
    for (const { offset, lengthBytes, isZero } of header.runs) {
      must(offset >= end && lengthBytes > 0, 'runs overlap')
      end = offset + lengthBytes
      if (!isZero) plainBytes += lengthBytes
    }
    must(
      Number.isSafeInteger(end) && plainBytes === header.plainBytes && plainBytes <= SLICE_BYTES,
      'a frame lies about its runs',
    )
    must(header.payloadOffset === frameHeadBytes(header.runs.length), 'a payload begins elsewhere')
    must(input.length <= maxFrameBytes(SLICE_BYTES) || header.codec !== Codec.none, 'a raw frame is too long')
    return 1
  },
}

/** Takes what is written, and looks whether it lies in the image and behind what came before. */
class WatchedSink implements ImageSink {
  readonly label = 'watched'
  readonly isSequential = false
  readonly written: Uint8Array[] = []
  #endOfLast = 0

  /** Another slice begins. */
  begin(): void {
    this.written.length = this.#endOfLast = 0
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    this.written.push(bytes.slice())
    return this.zero(offset, bytes.length)
  }

  zero(offset: number, lengthBytes: number): Promise<void> {
    must(offset >= this.#endOfLast && lengthBytes > 0, 'a slice is written over itself')
    must((this.#endOfLast = offset + lengthBytes) <= CONSUMER_IMAGE_BYTES, 'a slice is written beyond the image')
    return Promise.resolve()
  }

  open(): Promise<void> {
    return Promise.resolve()
  }

  finish(): Promise<void> {
    return Promise.resolve()
  }

  abort(): Promise<void> {
    return Promise.resolve()
  }
}

const CONSUMER_IMAGE_BYTES = 65_536
const sink = new WatchedSink()
const geometry = { sliceBytes: SLICE_BYTES, packetBytes: 1472, symbolBytes: 1448 }
const frameConsumer = new FrameConsumer({ sink, geometry, digestKind: 'gmac', imageBytes: CONSUMER_IMAGE_BYTES })
let consumedSlices = 0

const consumer: FuzzTarget = {
  name: 'consumer',
  seeds: frames,
  run: async (input) => {
    sink.begin()
    // No input has the digest of its content but by a chance that nobody lives to see.
    const asItIs = await frameConsumer.consume(0, input)
    must(asItIs === 'rejected' && sink.written.length === 0, `a frame of any bytes was ${asItIs}`)
    const header = decodeFrame(input, SLICE_BYTES)
    if (typeof header === 'string' || header.codec === Codec.zstd) return 1
    // With the right digest it must be written, and nothing else.
    const payload = input.subarray(header.payloadOffset)
    const plain = header.codec === Codec.none ? payload : decompressReference(payload, header.plainBytes)
    const isWhole = typeof plain !== 'string' && plain.length === header.plainBytes
    const frame = input.slice()
    if (isWhole) {
      const head = [
        frame.subarray(DIGEST_COVERS_FROM, DIGEST_OFFSET),
        frame.subarray(FRAME_HEADER_BYTES, header.payloadOffset),
      ]
      frame.set(gmac(...head, plain), DIGEST_OFFSET)
    }
    const outcome = await frameConsumer.consume(consumedSlices++, frame)
    const { offset, lengthBytes } = header.runs.at(-1)!
    const isWritten = isWhole && offset + lengthBytes <= CONSUMER_IMAGE_BYTES
    must(outcome === (isWritten ? 'settled' : 'rejected'), `a frame with the right digest was ${outcome}`)
    must(!isWritten || same(Buffer.concat(sink.written), plain), 'something else was written')
    return 1
  },
}

const lzo1x: FuzzTarget = {
  name: 'lzo1x',
  seeds: () => [compressed(), compressed().slice(0, 40), Uint8Array.of(0x11, 0, 0)],
  run: (input) => {
    for (const plainBytes of [text.length, 300]) {
      const into = new Uint8Array(plainBytes)
      const fault = lzo.decompressInto(input, into)
      const reference = decompressReference(input, plainBytes)
      if (typeof reference === 'string')
        must(fault === reference, `we say ${String(fault)}, the reference ${reference}`)
      else if (reference.length < plainBytes) must(fault === 'short-output', `we say ${String(fault)}, it is short`)
      else must(fault === undefined && same(into, reference), 'we decompress to something else')
    }
    return 1
  },
}

export const packetDecoders: readonly FuzzTarget[] = [packet, control, sealed, probe, frame, consumer, lzo1x]
