import { SkilfishError } from '../../src/errors.ts'
import { LZOP_BLOCK_OVERHEAD_BYTES, Lzo1x, LzopReader, LzopWriter } from '../../src/lzo/index.ts'
import { QmpReader } from '../../src/qmp/index.ts'
import { encodeRbdRecord, type WritableRbdRecord } from '../../src/rbd/index.ts'
import { formatFingerprint, parseFingerprint } from '../../src/receiver/fingerprint.ts'
import {
  decodeHeader,
  decodeRecord,
  decodeSlices,
  encodeHeader,
  encodeRecord,
  encodeSlices,
  SUM_BYTES,
} from '../../src/receiver/journal-format.ts'
import { parseGroupKey, parseSigningKey, parseVerifyingKey } from '../../src/trust/index.ts'
import { readRecords } from '../unit/rbd/read-records.ts'
import type { FuzzTarget } from './fuzz.ts'
import { must, same } from './must.ts'
import { SIGN_KEY_TEXT, VERIFY_KEY_TEXT } from './sample-keys.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const lzo = new Lzo1x()
const text = Uint8Array.from({ length: 2000 }, (_, at) => 65 + ((at * at) % 7))

/** Whatever is read from a stream must not depend on how it comes. @param read tells all that it read */
function mustReadAlike(input: Uint8Array, read: (pieces: readonly Uint8Array[]) => string): void {
  const half = input.length >> 1
  const isAlike = read([input]) === read([input.subarray(0, half), input.subarray(half)])
  must(isAlike, 'it depends on how the input is split')
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
    mustReadAlike(input, (pieces) => {
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
    })
    return 1
  },
}

const extents = [
  { kind: 'size', sizeBytes: 8192 },
  { kind: 'data', offset: 512, bytes: text.subarray(0, 60) },
  { kind: 'zeros', offset: 4096, lengthBytes: 4096 },
  { kind: 'end' },
] as const
const diff = (version: 1 | 2): WritableRbdRecord[] => [
  { kind: 'diff', version },
  { kind: 'from-snapshot', name: 'before' },
  { kind: 'to-snapshot', name: 'now' },
  ...(version === 1 ? [] : [{ kind: 'protection', isProtected: true } as const]),
  ...extents,
]
const image: readonly WritableRbdRecord[] = [
  { kind: 'image' },
  { kind: 'order', order: 22 },
  { kind: 'features', bits: 61n },
  { kind: 'stripe-unit', unitBytes: 4096 },
  { kind: 'stripe-count', count: 1 },
  { kind: 'metadata', key: 'k', value: 'v' },
  { kind: 'diffs', count: 1 },
  ...diff(2),
]
const rbdStreams = (
  [
    [1, diff(1)],
    [2, diff(2)],
    [2, image],
  ] as const
).map(([version, records]) => Buffer.concat(records.flatMap((record) => encodeRbdRecord(record, version))))

const rbd: FuzzTarget = {
  name: 'rbd',
  seeds: () => rbdStreams,
  run: (input) => {
    mustReadAlike(input, (pieces) => {
      const { records, fault } = readRecords(pieces)
      const seen = records.map((record) => (record.kind === 'data' ? record.bytes.length : record.kind))
      return seen.join() + String(fault)
    })
    return 1
  },
}

const qmp: FuzzTarget = {
  name: 'qmp',
  seeds: () =>
    [
      '{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 22}}, "capabilities": ["oob"]}}',
      '{"return": {}, "id": 1}\r\n{"id": 2, "error": {"class": "GenericError", "desc": "Näh"}}',
      '{"event": "STOP", "timestamp": {"seconds": 1}}\n\n{"event": "JOB_STATUS_CHANGE", "data": {"id": "j"}}',
    ].map((line) => encoder.encode(`${line}\r\n`)),
  run: (input) => {
    mustReadAlike(input, (pieces) => {
      const reader = new QmpReader()
      const seen: string[] = []
      try {
        for (const piece of pieces) {
          reader.push(piece)
          for (let message = reader.poll(); message !== undefined; message = reader.poll()) {
            seen.push(JSON.stringify(message))
          }
        }
      } catch (error) {
        if (!(error instanceof SkilfishError)) throw error
        seen.push(error.message)
      }
      return seen.join()
    })
    return 1
  },
}

const zeroSum = new Uint8Array(SUM_BYTES)
const journal: FuzzTarget = {
  name: 'journal',
  seeds: () => {
    const image = { imageId: 'ab12', imageName: 'disk.img', imageBytes: 1_000_000 }
    const header = { ...image, sliceBytes: 16_384, digestKind: 'gmac', mark: 'a-mark' } as const
    const entries = [3, 0, 9].map((slice) => ({ slice, digest: new Uint8Array(32).fill(slice) }))
    const totals = { coveredBytes: 49_152, spansEnd: 163_840, dataEnd: 150_000, zeroRunCount: 2 }
    const contents = [encodeHeader(header), encodeSlices(entries, totals), encodeSlices([], totals)]
    return [...contents, ...contents.map((content) => encodeRecord(zeroSum, content))]
  },
  run: (input) => {
    const found = decodeRecord(zeroSum, input)
    const isWhole = typeof found !== 'string'
    must(
      !isWhole || same(encodeRecord(zeroSum, found.content), input.subarray(0, found.recordBytes)),
      'a record changes',
    )
    // As the content of a record that is whole: of a journal that somebody else has written.
    for (const content of isWhole ? [found.content] : [input]) {
      const header = decodeHeader(content)
      const again = header && decodeHeader(encodeHeader(header))
      must(JSON.stringify(again) === JSON.stringify(header), 'a header does not come back as it went')
      const slices = decodeSlices(content)
      must(slices === undefined || same(encodeSlices(slices.entries, slices.totals), content), 'slices change')
    }
    return 1
  },
}

const fingerprint: FuzzTarget = {
  name: 'fingerprint',
  seeds: () => {
    const rootDigest = new Uint8Array(32).fill(0xa5)
    return [0, 1_000_000, 2 ** 52].map((imageBytes) =>
      encoder.encode(formatFingerprint({ digestKind: 'gmac', rootDigest, imageBytes, sliceBytes: 262_144 })),
    )
  },
  run: (input) => {
    const line = decoder.decode(input)
    const found = parseFingerprint(line)
    must(found === undefined || formatFingerprint(found) === line.trim(), 'a fingerprint changes')
    return 1
  },
}

/** Whatever a key file holds is a key, or refused in our words. */
async function parsesOrRefuses(parse: (label: string, text: string) => unknown, line: string): Promise<void> {
  try {
    await parse('file', line)
  } catch (error) {
    must(error instanceof SkilfishError, `${String(error)} is none of ours`)
  }
}

const keys: FuzzTarget = {
  name: 'keys',
  seeds: () => {
    const salted = `scrypt n=131072 r=8 p=1 salt=${'5a'.repeat(16)}`
    return [`key ${'5a'.repeat(32)}`, `# ours\n${salted}`, `${salted}\npassphrase short`].map((lines) =>
      encoder.encode(`skilfish group key 1\n${lines}\n`),
    )
  },
  run: async (input) => {
    const line = decoder.decode(input)
    // A passphrase that is long enough costs what it is to cost: no fuzzing.
    if (/passphrase .{12}/u.test(line)) return 1
    await parsesOrRefuses(parseGroupKey, line)
    return 1
  },
}

/** What has the outline of a key goes to OpenSSL, which takes its time. */
const pem: FuzzTarget = {
  name: 'pem',
  seeds: () => [SIGN_KEY_TEXT, VERIFY_KEY_TEXT].map((line) => encoder.encode(line)),
  run: async (input) => {
    const line = decoder.decode(input)
    await parsesOrRefuses(parseSigningKey, line)
    await parsesOrRefuses(parseVerifyingKey, line)
    return 1
  },
}

/** What comes in files, from other programs, or from the command line. */
export const fileDecoders: readonly FuzzTarget[] = [lzop, rbd, qmp, journal, fingerprint, keys, pem]
