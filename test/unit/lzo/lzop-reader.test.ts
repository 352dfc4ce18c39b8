import { describe, expect, it } from 'vitest'
import { crc32 } from '../../../src/lzo/crc32.ts'
import { Lzo1x, LZOP_MAX_BLOCK_BYTES, type LzopFault, LzopReader, LzopWriter } from '../../../src/lzo/index.ts'
import { putWord } from '../../../src/lzo/lzop-format.ts'
import { seededRandom } from '../../../src/random.ts'
import { readAll } from './read-all.ts'
import { noise } from './sample.ts'
import { LZOP_VECTORS, plainOf, readLzopVector } from './vectors.ts'

// Offsets in a file whose name is `mixed.bin`.
const NAME = 34
const FIRST_BLOCK = NAME + 9 + 4

function changed(file: string, change: (bytes: Uint8Array) => void): Uint8Array {
  const bytes = Uint8Array.from(readLzopVector(file))
  change(bytes)
  return bytes
}

/** The fault of a file that comes in one chunk. */
function faultOf(bytes: Uint8Array): LzopFault | undefined {
  const { fault, end } = readAll([bytes])
  if (fault) expect(end).toBe(fault)
  return end
}

describe('files that lzop wrote', () => {
  const readable = LZOP_VECTORS.filter(({ file }) => file !== 'filter.lzo')

  it.each(readable)('reads $file', ({ file, name, plainBytes }) => {
    const { header, blocks, end } = readAll([readLzopVector(file)])
    expect(end).toBeUndefined()
    expect(header).toEqual({ name, mode: 0o100_640, mtimeSeconds: 1_700_000_000 })
    expect(Buffer.compare(Buffer.concat(blocks), plainOf(plainBytes))).toBe(0)
    expect(blocks.length).toBe(Math.ceil(plainBytes / LZOP_MAX_BLOCK_BYTES))
  })

  it.each(readable)('reads $file byte by byte', ({ file, plainBytes }) => {
    const { header, blocks, end } = readAll(Array.from(readLzopVector(file), (byte) => Uint8Array.of(byte)))
    expect(end).toBeUndefined()
    expect(header?.mode).toBe(0o100_640)
    expect(Buffer.compare(Buffer.concat(blocks), plainOf(plainBytes))).toBe(0)
  })

  it('takes all that is pushed before it is asked', () => {
    const bytes = readLzopVector('stored.lzo')
    const reader = new LzopReader()
    for (const byte of bytes) reader.push(Uint8Array.of(byte))
    expect(reader.poll()?.kind).toBe('header')
    expect(reader.poll()).toEqual({ kind: 'block', bytes: Uint8Array.from(plainOf(1000)) })
    expect(reader.poll()).toBeUndefined()
    expect(reader.finish()).toBeUndefined()
  })

  it('takes the longest block with all checksums, in parts', () => {
    const codec = new Lzo1x()
    const plain = noise(seededRandom(5), LZOP_MAX_BLOCK_BYTES)
    const compressed = new Uint8Array(plain.length)
    let compressedBytes: number | undefined
    // As few zeros as make it worth compressing.
    for (let zeros = 1000; compressedBytes === undefined; zeros++)
      compressedBytes = codec.compressInto(plain.fill(0, 0, zeros), compressed)
    expect(compressedBytes).toBeGreaterThan(LZOP_MAX_BLOCK_BYTES - 4)
    const stream = compressed.subarray(0, compressedBytes)
    const header = new LzopWriter().header()
    header.set([0x03, 0, 0x03, 0x03], 17)
    putWord(header, header.length - 4, codec.adler32(header.subarray(9, -4)))
    const head = new Uint8Array(24)
    const sums = [codec.adler32(plain), crc32(plain), codec.adler32(stream), crc32(stream)]
    for (const [n, value] of [plain.length, compressedBytes, ...sums].entries()) putWord(head, n * 4, value)
    const file = Buffer.concat([header, head, stream, new Uint8Array(4)])
    const { blocks, end } = readAll([file.subarray(0, 100_000), file.subarray(100_000)])
    expect(end).toBeUndefined()
    expect(Buffer.compare(blocks[0]!, plain)).toBe(0)
  })

  it('reports an end before the end, wherever it is', () => {
    const bytes = readLzopVector('stored.lzo')
    for (let lengthBytes = 0; lengthBytes < bytes.length; lengthBytes++)
      expect(faultOf(bytes.subarray(0, lengthBytes))).toBe('truncated')
  })
})

describe('files that are refused', () => {
  it.each<[LzopFault, string, (bytes: Uint8Array) => void]>([
    ['not-lzop', 'another magic', (bytes) => (bytes[8] = 0x0d)],
    ['unsupported-version', 'an older version', (bytes) => bytes.set([0x09, 0x30], 9)],
    ['unsupported-version', 'a need for a newer reader', (bytes) => bytes.set([0x10, 0x41], 13)],
    ['unsupported-method', 'no method', (bytes) => (bytes[15] = 0)],
    ['unsupported-method', 'an unknown method', (bytes) => (bytes[15] = 4)],
    ['unsupported-flags', 'an extra field', (bytes) => (bytes[20]! |= 0x40)],
    ['unsupported-flags', 'a filter', (bytes) => (bytes[19]! |= 0x08)],
    ['unsupported-flags', 'a reserved flag', (bytes) => (bytes[18]! |= 0x08)],
    ['header-checksum', 'a changed name', (bytes) => (bytes[NAME] = 0x4d)],
    ['header-checksum', 'a checksum of the other kind', (bytes) => (bytes[19]! ^= 0x10)],
    ['block-too-large', 'a block of more than 256 KiB', (bytes) => putWord(bytes, FIRST_BLOCK, 262_145)],
    ['block-lengths', 'more compressed bytes than plain ones', (bytes) => putWord(bytes, FIRST_BLOCK + 4, 262_145)],
    ['plain-checksum', 'a changed checksum of plain bytes', (bytes) => (bytes[FIRST_BLOCK + 8]! ^= 1)],
    ['compressed-checksum', 'a changed checksum of compressed bytes', (bytes) => (bytes[FIRST_BLOCK + 12]! ^= 1)],
    ['compressed-checksum', 'a changed compressed byte', (bytes) => (bytes[FIRST_BLOCK + 500]! ^= 1)],
    ['truncated', 'a changed end', (bytes) => (bytes[bytes.length - 1] = 1)],
  ])('reports %s at %s', (fault, _name, change) => {
    expect(faultOf(changed('both-adler32.lzo', change))).toBe(fault)
    expect(faultOf(changed('both-crc32.lzo', change))).toBe(fault)
  })

  it.each(['level-1.lzo', 'level-9.lzo', 'crc32.lzo'])('reports a changed literal of %s', (file) => {
    expect(faultOf(changed(file, (bytes) => (bytes[FIRST_BLOCK + 500]! ^= 1)))).toBe('plain-checksum')
  })

  it('reports what is wrong with the stream of a block', () => {
    const lengthened = changed('no-checksum.lzo', (bytes) => putWord(bytes, FIRST_BLOCK, 262_143))
    expect(faultOf(lengthened)).toBe('output-overrun')
    const emptied = changed('no-checksum.lzo', (bytes) => putWord(bytes, FIRST_BLOCK + 4, 0))
    expect(faultOf(emptied)).toBe('input-overrun')
  })

  it('reports a filter of lzop', () => {
    expect(faultOf(readLzopVector('filter.lzo'))).toBe('unsupported-flags')
  })

  it('reports a second member', () => {
    const { header, blocks, fault } = readAll([readLzopVector('stored.lzo'), readLzopVector('stored.lzo')])
    expect(header).toBeDefined()
    expect(blocks.length).toBe(1)
    expect(fault).toBe('trailing-bytes')
  })

  it('yields the good blocks before a bad one, then nothing more', () => {
    const reader = new LzopReader()
    const bytes = changed('level-3.lzo', (file) => (file[file.length - 5]! ^= 1))
    const { blocks, fault } = readAll([bytes], reader)
    expect(blocks.length).toBe(1)
    expect(fault).toBeDefined()
    reader.push(readLzopVector('level-3.lzo'))
    expect(reader.poll()).toBeUndefined()
    expect(reader.finish()).toBe(fault)
  })
})
