import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  DATA_PIECE_BYTES,
  encodeRbdRecord,
  RBD_LIMITS,
  RbdReader,
  type DiffVersion,
  type WritableRbdRecord,
} from '../../../src/rbd/index.ts'
import { applyRecords, readRecords } from './read-records.ts'
import { RBD_VECTORS, readRbdVector } from './vectors.ts'

const encode = (records: readonly WritableRbdRecord[], version: DiffVersion): Buffer =>
  Buffer.concat(records.flatMap((record) => encodeRbdRecord(record, version)))

const u64 = (value: number | bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const stream = (...parts: readonly (string | Uint8Array)[]): Buffer =>
  Buffer.concat(parts.map((part) => Buffer.from(part)))

const ONE = 'rbd diff v1\n'
const TWO = 'rbd diff v2\n'
const IMAGE = 'rbd image v2\n'

describe('streams that rbd wrote', () => {
  /** What a delta starts from. */
  const before = applyRecords(new Uint8Array(0), readRecords([readRbdVector('full.diff')]).records)

  it.each(RBD_VECTORS)('$command is read, whole and byte by byte, and written again', ({ file, sha256 }) => {
    const bytes = readRbdVector(file)
    const { records, fault } = readRecords([bytes])
    expect(fault).toBeUndefined()
    const image = applyRecords(file === 'delta.diff' ? before : new Uint8Array(0), records)
    expect(createHash('sha256').update(image).digest('hex')).toBe(sha256)
    expect(readRecords(Array.from(bytes, (byte) => Uint8Array.of(byte))).records).toEqual(records)
    expect(encode(records as WritableRbdRecord[], file === 'image.v2' ? 2 : 1).equals(bytes)).toBe(true)
  })

  it('an image says its properties, snapshots and protection', () => {
    const { records } = readRecords([readRbdVector('image.v2')])
    const said = records.filter(({ kind }) => !['data', 'zeros', 'end'].includes(kind))
    expect(said).toEqual([
      { kind: 'image' },
      { kind: 'order', order: 13 },
      { kind: 'features', bits: 261n },
      { kind: 'stripe-unit', unitBytes: 8192 },
      { kind: 'stripe-count', count: 1 },
      { kind: 'metadata', key: 'purpose', value: 'a test of Skilfish' },
      { kind: 'diffs', count: 3 },
      { kind: 'diff', version: 2 },
      { kind: 'to-snapshot', name: 'one' },
      { kind: 'protection', isProtected: true },
      { kind: 'size', sizeBytes: 40_000 },
      { kind: 'diff', version: 2 },
      { kind: 'from-snapshot', name: 'one' },
      { kind: 'to-snapshot', name: 'zwei-ä' },
      { kind: 'protection', isProtected: false },
      { kind: 'size', sizeBytes: 40_000 },
      { kind: 'diff', version: 2 },
      { kind: 'from-snapshot', name: 'zwei-ä' },
      { kind: 'size', sizeBytes: 40_000 },
    ])
  })

  it.each(['delta.diff', 'image.v2'])('an end before the end of %s is told, wherever it is', (file) => {
    const bytes = readRbdVector(file)
    for (let lengthBytes = 0; lengthBytes < bytes.length; lengthBytes += lengthBytes < 300 ? 1 : 97) {
      const { fault } = readRecords([bytes.subarray(0, lengthBytes)])
      const place = Number(/^cannot read .*: it ends before byte (\d+), /.exec(fault ?? '')?.[1])
      expect(place).toBeGreaterThan(lengthBytes)
    }
  })
})

describe('the reader', () => {
  it('yields long data in pieces that end at multiples of their size', () => {
    const bytes = Buffer.alloc(2 * DATA_PIECE_BYTES, 'long ')
    const { records } = readRecords([stream(ONE, 'w', u64(5000), u64(bytes.length), bytes, 'e')])
    const data = records.filter((record) => record.kind === 'data')
    expect(data.map(({ offset, bytes: { length } }) => [offset, offset + length])).toEqual([
      [5000, DATA_PIECE_BYTES],
      [DATA_PIECE_BYTES, 2 * DATA_PIECE_BYTES],
      [2 * DATA_PIECE_BYTES, 5000 + 2 * DATA_PIECE_BYTES],
    ])
    expect(Buffer.concat(data.map((piece) => piece.bytes)).equals(bytes)).toBe(true)
  })

  it('takes both lengths that rbd takes for the one byte of protection', () => {
    for (const length of [8, 1]) {
      const { records, fault } = readRecords([stream(TWO, 'p', u64(length), Uint8Array.of(1), 'e')])
      expect([records[1], fault]).toEqual([{ kind: 'protection', isProtected: true }, undefined])
    }
  })

  it('passes over a property that it does not know, however long it may be', () => {
    const most = RBD_LIMITS.skippedBytes
    const { records, fault } = readRecords([
      stream(IMAGE, 'X', u64(most), Buffer.alloc(most), 'E', 'rbd image diffs v2\n', u64(1), TWO, 'e'),
    ])
    expect([records[1], fault]).toEqual([{ kind: 'skipped', tag: 'X', lengthBytes: most }, undefined])
  })

  it.each<[string, number, Buffer]>([
    ['another banner', 0, stream('QFI\xfb', u64(3))],
    ['an image of another version', 12, stream('rbd image v2 ')],
    ['an unknown tag of a diff', 12, stream(ONE, 'x')],
    ['protection in a diff of version 1', 12, stream(ONE, 'p')],
    ['a name that is too long', 13, stream(ONE, 'f', u32(4097))],
    ['a name that is no UTF-8', 17, stream(ONE, 't', u32(2), Uint8Array.of(0xc3, 0x28))],
    ['a size beyond 2^53 - 1', 13, stream(ONE, 's', u64(2 ** 53))],
    ['an offset beyond 2^53 - 1', 13, stream(ONE, 'z', u64(2n ** 64n - 1n))],
    ['an extent that ends beyond 2^53 - 1', 21, stream(ONE, 'w', u64(2 ** 53 - 2), u64(2))],
    ['something behind the end', 13, stream(ONE, 'ee')],
    ['a name whose two lengths differ', 25, stream(TWO, 'f', u64(6), u32(1), 'ab')],
    ['a protection of two bytes', 13, stream(TWO, 'p', u64(2), Uint8Array.of(1, 1))],
    ['data whose two lengths differ', 29, stream(TWO, 'w', u64(17), u64(0), u64(2))],
    ['zeros with data', 29, stream(TWO, 'z', u64(17), u64(0), u64(1))],
    ['a size of four bytes', 13, stream(TWO, 's', u64(4), u32(0))],
    ['an order that no image has', 22, stream(IMAGE, 'O', u64(8), u64(26))],
    ['a property of another length', 14, stream(IMAGE, 'C', u64(4))],
    ['an unknown property that is too long', 14, stream(IMAGE, 'X', u64(2 ** 20 + 1))],
    ['a metadata value that is too long', 27, stream(IMAGE, 'M', u64(0), u32(1), 'k', u32(65_537))],
    ['a metadata pair of another length', 31, stream(IMAGE, 'M', u64(9), u32(1), 'k', u32(1), 'v')],
    ['another banner of diffs', 14, stream(IMAGE, 'E', 'rbd image diffs v1\n')],
    ['no diff', 33, stream(IMAGE, 'E', 'rbd image diffs v2\n', u64(0))],
    ['more diffs than it takes', 33, stream(IMAGE, 'E', 'rbd image diffs v2\n', u64(65_537))],
    ['a diff of version 1 in an image', 41, stream(IMAGE, 'E', 'rbd image diffs v2\n', u64(1), ONE)],
  ])('refuses %s at byte %i', (_what, place, bytes) => {
    expect(readRecords([bytes]).fault).toMatch(new RegExp(`^cannot read .*: byte ${place}: .*; expected .*[^.]$`))
  })

  it('says the same again, and takes nothing more', () => {
    const reader = new RbdReader('a test')
    reader.push(stream(ONE, 'x'))
    reader.poll()
    const text = 'cannot read a test: byte 12: a record with the tag "x"; expected one of a diff of version 1'
    for (let turn = 0; turn < 2; turn++) expect(() => reader.poll()).toThrow(text)
    reader.push(stream('e'))
    expect(() => reader.finish()).toThrow(text)
  })
})

describe('the writer', () => {
  it('does not copy data', () => {
    const bytes = Uint8Array.of(1, 2, 3)
    expect(encodeRbdRecord({ kind: 'data', offset: 0, bytes }, 1)[1]).toBe(bytes)
  })

  it.each<[string, WritableRbdRecord, DiffVersion]>([
    ['a negative offset', { kind: 'zeros', offset: -1, lengthBytes: 1 }, 1],
    ['an end beyond 2^53 - 1', { kind: 'zeros', offset: 2 ** 53 - 2, lengthBytes: 2 }, 1],
    ['part of a byte', { kind: 'size', sizeBytes: 0.5 }, 1],
    ['a long name', { kind: 'from-snapshot', name: 'ä'.repeat(2049) }, 1],
    ['protection in version 1', { kind: 'protection', isProtected: true }, 1],
    ['an order that no image has', { kind: 'order', order: 11 }, 2],
    ['features of 65 bits', { kind: 'features', bits: 2n ** 64n }, 2],
    ['no diff', { kind: 'diffs', count: 0 }, 2],
  ])('refuses %s', (_what, record, version) => {
    expect(() => encodeRbdRecord(record, version)).toThrow(RangeError)
  })
})
