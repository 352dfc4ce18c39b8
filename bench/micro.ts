// Micro benchmarks: each kernel beside its slow reference, in the same run.  npm run bench
import benny from 'benny'
import { createHmac, createSecretKey } from 'node:crypto'
import { FecDecoder, FecEncoder } from '../src/fec/index.ts'
import { Lzo1x } from '../src/lzo/index.ts'
import {
  decodeControl,
  encodeControl,
  encodeDataFieldsInto,
  encodePrefixInto,
  PacketType,
  type Nack,
} from '../src/protocol/index.ts'
import { seededRandom } from '../src/random.ts'
import { TokenBucket } from '../src/ratelimit/index.ts'
import { RepairPlanner } from '../src/sender/machine/repair-planner.ts'
import { ALL_SYMBOLS, SliceTable } from '../src/sender/machine/slice-table.ts'
import { PAGE_BYTES, ZeroScan } from '../src/sparse/index.ts'
import { SenderKeys } from '../src/trust/index.ts'
import { decompressReference } from '../test/reference/lzo1x.ts'
import { decodeReference, parityReference } from '../test/reference/reed-solomon.ts'

const SYMBOL_BYTES = 1448
const SLICE_BYTES = 262_144

const random = seededRandom(1)
/** Text-like bytes: runs of a small alphabet, so that there is something to compress. */
const slice = Uint8Array.from({ length: SLICE_BYTES }, (_, at) =>
  at % 7 < 4 ? 65 + Math.floor(random() * 4) : at & 31,
)
const zeros = new Uint8Array(SLICE_BYTES)

const encoder = new FecEncoder()
encoder.load(slice, SYMBOL_BYTES)
const sourceCount = Math.ceil(SLICE_BYTES / SYMBOL_BYTES)
const parity = new Uint8Array(SYMBOL_BYTES)

const lzo = new Lzo1x()
const packed = new Uint8Array(SLICE_BYTES)
const packedBytes = lzo.compressInto(slice, packed) ?? 0
const compressed = packed.slice(0, packedBytes)
const plain = new Uint8Array(SLICE_BYTES)

const header = new Uint8Array(24)
const view = new DataView(header.buffer)
const session = { high: 0x01234567, low: 0x89abcdef }

await benny.suite(
  'data header',
  benny.add('ours', () => {
    encodePrefixInto(header, 0, PacketType.data, session, 7)
    encodeDataFieldsInto(header, 0, 12, SLICE_BYTES, 3)
  }),
  benny.add('DataView', () => {
    view.setUint16(0, 0x536b)
    view.setUint8(2, 1)
    view.setUint8(3, PacketType.data)
    view.setBigUint64(4, 0x0123456789abcdefn)
    view.setUint32(12, 7)
    view.setUint32(16, 12)
    view.setUint32(20, (SLICE_BYTES << 8) | 3)
  }),
  benny.cycle(),
  benny.complete(),
)

const nack: Nack = {
  kind: 'nack',
  receiver: { high: 0x01234567, low: 0x89abcdef },
  deficits: Array.from({ length: 32 }, (_, slice) => ({ slice: 1000 + slice, deficit: 1 + (slice % 5), heard: 182 })),
  missing: Array.from({ length: 4 }, (_, range) => ({ first: 2000 + 10 * range, count: 3 })),
}
const nackPacket = encodeControl(nack, session, 7)
const nackJson = Buffer.from(JSON.stringify(nack))
await benny.suite(
  'a NACK of 32 slices and 4 ranges as a message',
  benny.add('encode', () => encodeControl(nack, session, 7)),
  benny.add('encode, JSON without checks', () => Buffer.from(JSON.stringify(nack))),
  benny.add('decode', () => decodeControl(nackPacket, 0, nackPacket.length)),
  benny.add('decode, JSON without checks', () => JSON.parse(nackJson.toString()) as Nack),
  benny.cycle(),
  benny.complete(),
)

/** What 16 receivers lack of 64 slices: each has lost some other symbols. */
const asked = Array.from({ length: 16 * 64 }, (_, n) => ({
  slice: n % 64,
  deficit: 1 + Math.floor(random() * 8),
  heard: sourceCount,
}))
await benny.suite(
  'repairs for the NACKs of 16 receivers for 64 slices',
  benny.add('ours', () => {
    const planner = new RepairPlanner(new SliceTable(), { sourceSymbolCount: () => sourceCount })
    for (const one of asked) planner.ask(0, one, 1000, 500)
    return planner.dueCount
  }),
  benny.add('by sorting', () =>
    Array.from({ length: 64 }, (_, slice) => {
      const deficits = asked.filter((one) => one.slice === slice).map(({ deficit }) => Math.min(deficit, ALL_SYMBOLS))
      return deficits.sort((a, b) => b - a)[0]
    }),
  ),
  benny.cycle(),
  benny.complete(),
)

await benny.suite(
  'one parity symbol of a slice of 256 KiB',
  benny.add('ours', () => encoder.parityInto(sourceCount, parity, 0)),
  benny.add('reference', () => {
    parityReference(slice, SYMBOL_BYTES, sourceCount)
  }),
  benny.cycle(),
  benny.complete(),
)

const wholeSymbols = new Uint8Array(sourceCount * SYMBOL_BYTES)
wholeSymbols.set(slice)
const missing = [3, 100]
const parities = missing.map((_, n) => {
  const bytes = new Uint8Array(SYMBOL_BYTES)
  encoder.parityInto(sourceCount + n, bytes, 0)
  return { symbolIndex: sourceCount + n, bytes }
})
const decoder = new FecDecoder()
await benny.suite(
  'two lost symbols of a slice of 256 KiB',
  benny.add('ours', () => decoder.decode(wholeSymbols, SYMBOL_BYTES, missing, parities)),
  benny.add('reference', () => decodeReference(wholeSymbols, SYMBOL_BYTES, missing, parities)),
  benny.cycle(),
  benny.complete(),
)

await benny.suite(
  'LZO1X of a slice of 256 KiB',
  benny.add('compress', () => {
    lzo.compressInto(slice, packed)
  }),
  benny.add('decompress', () => {
    lzo.decompressInto(compressed, plain)
  }),
  benny.add('decompress, reference', () => {
    decompressReference(compressed, SLICE_BYTES)
  }),
  benny.cycle(),
  benny.complete(),
)

await benny.suite(
  'zero scan of 256 KiB of zeros',
  benny.add('ours', () => {
    const scan = new ZeroScan(zeros)
    for (let at = 0; at < SLICE_BYTES; at += PAGE_BYTES) scan.isZero(at, at + PAGE_BYTES)
  }),
  benny.add('byte by byte', () => zeros.every((byte) => byte === 0)),
  benny.cycle(),
  benny.complete(),
)

const bucket = new TokenBucket(0, 1_000_000_000, 500_000)
let nowUs = 0
/** In millionths of a bit, as ours, but in whole numbers of any size. */
let tokens = 4_000_000_000_000n
let filledAtUs = 0n
await benny.suite(
  'token bucket',
  benny.add('take', () => {
    nowUs += 12
    bucket.take(nowUs, 1500)
  }),
  benny.add('take, reference', () => {
    nowUs += 12
    const at = BigInt(nowUs)
    tokens += (at - filledAtUs) * 1_000_000_000n
    if (tokens > 4_000_000_000_000n) tokens = 4_000_000_000_000n
    filledAtUs = at
    if (tokens >= 12_000_000_000n) tokens -= 12_000_000_000n
  }),
  benny.cycle(),
  benny.complete(),
)

const key = createSecretKey(Buffer.alloc(32, 1))
const { guard } = new SenderKeys(key).open(session, 'image').trust!
const packet = slice.slice(0, 1472)
encodePrefixInto(packet, 0, PacketType.data, session, 7)
let packetCount = 0
await benny.suite(
  'tag of a data packet of 1472 bytes',
  benny.add('ours', () => {
    // A new slice every 182 packets, as it is sent.
    encodeDataFieldsInto(packet, 0, Math.floor(packetCount / 182), SLICE_BYTES, packetCount++ % 182)
    guard!.tagInto(packet, 0, packet.length)
  }),
  benny.add('HMAC-SHA-256', () => {
    createHmac('sha256', key).update(packet).digest()
  }),
  benny.cycle(),
  benny.complete(),
)
