import { createPrivateKey, createPublicKey } from 'node:crypto'
import { SkilfishError } from '../../src/errors.ts'
import { LZOP_BLOCK_OVERHEAD_BYTES, Lzo1x, LzopReader, LzopWriter } from '../../src/lzo/index.ts'
import {
  announcedGeometry,
  areDataFieldsValid,
  Codec,
  controlPacketBytesAt,
  DATA_HEADER_BYTES,
  decodeControl,
  decodeFrame,
  describePacket,
  encodeControl,
  encodeDataFieldsInto,
  encodeFrameHeadInto,
  encodePrefixInto,
  encodeRefusal,
  frameBytesAt,
  frameHeadBytes,
  imageTagAt,
  MAX_SOURCE_SYMBOL_COUNT,
  maxFrameBytes,
  PacketType,
  packetTypeAt,
  sessionAt,
  sliceIndexAt,
  sourceSymbolCount,
  symbolIndexAt,
} from '../../src/protocol/index.ts'
import { FrameConsumer } from '../../src/receiver/frame-consumer.ts'
import { parseGroupKey, parseSigningKey, parseVerifyingKey } from '../../src/trust/index.ts'
import { decompressReference } from '../reference/lzo1x.ts'
import { MemorySink } from '../unit/receiver/memory-sink.ts'
import { SAMPLES, SESSION, TAG } from '../unit/protocol/sample-messages.ts'
import type { FuzzTarget } from './fuzz.ts'

const SLICE_BYTES = 16_384

export function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

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
    const imageBytes = 1 << 20
    const header = decodeFrame(input, SLICE_BYTES, imageBytes)
    if (typeof header === 'string') return 1
    let end = header.spanStart
    let plainBytes = 0
    for (const { offset, lengthBytes, isZero } of header.runs) {
      must(offset >= end && lengthBytes > 0, 'runs overlap')
      end = offset + lengthBytes
      if (!isZero) plainBytes += lengthBytes
    }
    must(
      end <= imageBytes && plainBytes === header.plainBytes && plainBytes <= SLICE_BYTES,
      'a frame lies about its runs',
    )
    must(header.payloadOffset === frameHeadBytes(header.runs.length), 'a payload begins elsewhere')
    must(input.length <= maxFrameBytes(SLICE_BYTES) || header.codec !== Codec.none, 'a raw frame is too long')
    return 1
  },
}

const consumer: FuzzTarget = {
  name: 'consumer',
  seeds: frames,
  run: async (input) => {
    const sink = new MemorySink(65_536)
    const target = new FrameConsumer({
      sink,
      geometry: { sliceBytes: SLICE_BYTES, packetBytes: 1472, symbolBytes: 1448 },
      imageBytes: 65_536,
    })
    const outcome = await target.consume(0, input)
    // No input has the digest of its content but by a chance that nobody lives to see.
    must(outcome === 'rejected' && sink.calls.length === 0, `a frame of any bytes was ${outcome}`)
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

/** Files as lzop writes them, with each checksum. */
function lzopFiles(): Uint8Array[] {
  return (['adler32', 'crc32', 'none'] as const).map((checksum) => {
    const writer = new LzopWriter({ checksum })
    const into = new Uint8Array(text.length + LZOP_BLOCK_OVERHEAD_BYTES)
    const block = (plain: Uint8Array): Uint8Array => into.slice(0, writer.blockInto(plain, into))
    return Buffer.concat([writer.header(), block(text), block(text.subarray(0, 9)), writer.end()])
  })
}

const lzop: FuzzTarget = {
  name: 'lzop',
  seeds: lzopFiles,
  run: (input) => {
    const read = (pieces: readonly Uint8Array[]): string => {
      const reader = new LzopReader(lzo)
      const seen: string[] = []
      let plainBytes = 0
      for (const piece of pieces) {
        reader.push(piece)
        for (let record = reader.poll(); record !== undefined; record = reader.poll()) {
          if (record.kind === 'block') plainBytes += record.bytes.length
          seen.push(record.kind === 'fault' ? record.fault : record.kind)
          must(seen.length <= input.length + 2, 'a reader never ends')
        }
      }
      seen.push(String(reader.finish()), String(plainBytes))
      return seen.join()
    }
    const half = input.length >> 1
    must(
      read([input]) === read([input.subarray(0, half), input.subarray(half)]),
      'it depends on how the input is split',
    )
    return 1
  },
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const keys: FuzzTarget = {
  name: 'keys',
  seeds: () => {
    // A private key of Ed25519 is any 32 bytes (RFC 8410, section 7); always the same, so that a run can be had again.
    const der = Buffer.from(`302e020100300506032b657004220420${'5a'.repeat(32)}`, 'hex')
    const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    const privateText = privateKey.export({ format: 'pem', type: 'pkcs8' }) as string
    const publicText = createPublicKey(privateKey).export({ format: 'pem', type: 'spki' }) as string
    return [`skilfish group key 1\nkey ${'5a'.repeat(32)}\n`, privateText, publicText].map((line) =>
      encoder.encode(line),
    )
  },
  run: async (input) => {
    const line = decoder.decode(input)
    // A passphrase costs what it is to cost: no fuzzing.
    if (line.includes('scrypt')) return 1
    for (const parse of [parseGroupKey, parseSigningKey, parseVerifyingKey]) {
      try {
        await parse('file', line)
      } catch (error) {
        must(error instanceof SkilfishError, `${String(error)} is none of ours`)
      }
    }
    return 1
  },
}

export const decoders: readonly FuzzTarget[] = [packet, control, frame, consumer, lzo1x, lzop, keys]
