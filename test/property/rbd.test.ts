import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DATA_PIECE_BYTES, encodeRbdRecord, type WritableRbdRecord } from '../../src/rbd/index.ts'
import { readRecords } from '../unit/rbd/read-records.ts'

const offsets = fc.oneof(
  fc.nat(3 * DATA_PIECE_BYTES),
  fc.maxSafeNat().map((n) => Math.floor(n / 2)),
)
const names = fc.string({ unit: 'grapheme', maxLength: 40 })

/** Short enough to stay one piece. */
const data = fc
  .tuple(offsets, fc.uint8Array({ minLength: 1, maxLength: 3000 }))
  .filter(([offset, { length }]) => (offset % DATA_PIECE_BYTES) + length <= DATA_PIECE_BYTES)
  .map(([offset, bytes]): WritableRbdRecord => ({ kind: 'data', offset, bytes }))
const zeros = fc
  .tuple(offsets, fc.nat(2 ** 31 - 1))
  .map(([offset, lengthBytes]): WritableRbdRecord => ({ kind: 'zeros', offset, lengthBytes }))
const extents = fc.array(fc.oneof(data, zeros), { maxLength: 8 })

const option = (arbitrary: fc.Arbitrary<WritableRbdRecord>): fc.Arbitrary<WritableRbdRecord[]> =>
  fc.option(arbitrary).map((record) => (record === null ? [] : [record]))
const named = (kind: 'from-snapshot' | 'to-snapshot') =>
  option(names.map((name): WritableRbdRecord => ({ kind, name })))
const size = option(fc.maxSafeNat().map((sizeBytes): WritableRbdRecord => ({ kind: 'size', sizeBytes })))
const protection = option(fc.boolean().map((isProtected): WritableRbdRecord => ({ kind: 'protection', isProtected })))

const diffs = (version: 1 | 2): fc.Arbitrary<WritableRbdRecord[]> =>
  fc
    .tuple(named('from-snapshot'), named('to-snapshot'), version === 1 ? fc.constant([]) : protection, size, extents)
    .map((parts) => [{ kind: 'diff', version }, ...parts.flat(), { kind: 'end' }])

const properties = fc.array(
  fc.oneof(
    fc.integer({ min: 12, max: 25 }).map((order): WritableRbdRecord => ({ kind: 'order', order })),
    fc.bigInt(0n, 2n ** 64n - 1n).map((bits): WritableRbdRecord => ({ kind: 'features', bits })),
    fc.maxSafeNat().map((unitBytes): WritableRbdRecord => ({ kind: 'stripe-unit', unitBytes })),
    fc.maxSafeNat().map((count): WritableRbdRecord => ({ kind: 'stripe-count', count })),
    fc.tuple(names, names).map(([key, value]): WritableRbdRecord => ({ kind: 'metadata', key, value })),
  ),
  { maxLength: 6 },
)
const images = fc
  .tuple(properties, fc.array(diffs(2), { minLength: 1, maxLength: 3 }))
  .map(([said, parts]): WritableRbdRecord[] => [
    { kind: 'image' },
    ...said,
    { kind: 'diffs', count: parts.length },
    ...parts.flat(),
  ])

const streams = fc
  .oneof(
    diffs(1).map((records) => ({ records, version: 1 as const })),
    diffs(2).map((records) => ({ records, version: 2 as const })),
    images.map((records) => ({ records, version: 2 as const })),
  )
  .map(({ records, version }) => ({
    records: records,
    bytes: new Uint8Array(Buffer.concat(records.flatMap((record) => encodeRbdRecord(record, version)))),
  }))

const cuts = fc.array(fc.nat(), { maxLength: 20 })

function split(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const edges = [0, ...at.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return edges.slice(1).map((end, index) => bytes.subarray(edges[index], end))
}

describe('the reader of rbd streams', () => {
  it('yields what was written', () => {
    fc.assert(
      fc.property(streams, ({ records, bytes }) => {
        expect(readRecords([bytes])).toEqual({ records, fault: undefined })
      }),
      { numRuns: 500 },
    )
  })

  it('yields the same records and the same fault however a stream is split, whole, damaged or cut', () => {
    const edits = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 })
    fc.assert(
      fc.property(streams, cuts, edits, fc.option(fc.nat()), ({ bytes }, at, changes, lengthBytes) => {
        for (const [place, byte] of changes) bytes[place % bytes.length] = byte
        const input = bytes.subarray(0, lengthBytes === null ? undefined : lengthBytes % bytes.length)
        expect(readRecords(split(input, at))).toEqual(readRecords([input]))
      }),
      { numRuns: 1000 },
    )
  })

  it('yields long data in the same pieces however it is split', () => {
    fc.assert(
      fc.property(fc.nat(2 * DATA_PIECE_BYTES), fc.nat(3 * DATA_PIECE_BYTES), cuts, (offset, lengthBytes, at) => {
        const bytes = new Uint8Array(lengthBytes).map((_, index) => index * 7)
        const records = [{ kind: 'diff', version: 1 }, { kind: 'data', offset, bytes }, { kind: 'end' }] as const
        const stream = Buffer.concat(records.flatMap((record) => encodeRbdRecord(record, 1)))
        const pieces = readRecords(split(new Uint8Array(stream), at)).records.filter((record) => record.kind === 'data')
        let end = offset
        for (const piece of pieces) {
          expect(piece.offset).toBe(end)
          end += piece.bytes.length
          expect(end % DATA_PIECE_BYTES === 0 || end === offset + lengthBytes).toBe(true)
        }
        expect(Buffer.compare(Buffer.concat(pieces.map((piece) => piece.bytes)), bytes)).toBe(0)
      }),
      { numRuns: 50 },
    )
  })

  it('takes any input', () => {
    const banners = fc.constantFrom(
      '',
      'rbd diff v1\n',
      'rbd diff v2\n',
      'rbd image v2\n',
      'rbd image v2\nErbd image diffs v2\n',
    )
    fc.assert(
      fc.property(banners, fc.uint8Array({ maxLength: 300 }), (banner, bytes) => {
        const { fault } = readRecords([new TextEncoder().encode(banner), bytes])
        if (banner === '') expect(fault).toBeDefined()
      }),
      { numRuns: 2000 },
    )
  })
})
