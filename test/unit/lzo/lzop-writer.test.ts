import { describe, expect, it } from 'vitest'
import {
  LZOP_BLOCK_OVERHEAD_BYTES,
  LZOP_MAX_BLOCK_BYTES,
  type LzopOptions,
  LzopWriter,
} from '../../../src/lzo/index.ts'
import { seededRandom } from '../../../src/random.ts'
import { readAll } from './read-all.ts'
import { noise, sampleBytes } from './sample.ts'
import { readLzopVector } from './vectors.ts'

const AS_RECORDED: LzopOptions = { name: 'mixed.bin', mode: 0o100_640, mtimeSeconds: 1_700_000_000 }

function write(plainBlocks: readonly Uint8Array[], options?: LzopOptions): Uint8Array[] {
  const writer = new LzopWriter(options)
  const blocks = plainBlocks.map((plain) => {
    const into = new Uint8Array(plain.length + LZOP_BLOCK_OVERHEAD_BYTES)
    return into.subarray(0, writer.blockInto(plain, into))
  })
  return [writer.header(), ...blocks, writer.end()]
}

const checksums = ['adler32', 'crc32', 'none'] as const

it.each([
  ['adler32', 'level-3.lzo'],
  ['crc32', 'crc32.lzo'],
  ['none', 'no-checksum.lzo'],
] as const)('writes with checksum %s the header that lzop writes', (checksum, file) => {
  const header = new LzopWriter({ ...AS_RECORDED, checksum }).header()
  expect(header).toEqual(Uint8Array.from(readLzopVector(file).subarray(0, header.length)))
})

it('writes an empty file as lzop does', () => {
  expect(Buffer.concat(write([], AS_RECORDED))).toEqual(readLzopVector('empty.lzo'))
})

it('is without a name, of mode 0644 and from 1970 unless told otherwise', () => {
  expect(readAll(write([])).header).toEqual({ name: '', mode: 0o100_644, mtimeSeconds: 0 })
})

it.each(checksums)('with checksum %s, the reader gets back what was written', (checksum) => {
  const random = seededRandom(3)
  const blocks = [
    sampleBytes(random, 1),
    sampleBytes(random, 5000),
    noise(random, 3000),
    sampleBytes(random, LZOP_MAX_BLOCK_BYTES),
    noise(random, LZOP_MAX_BLOCK_BYTES),
  ]
  const options = { name: 'größe', mode: 0xffff_ffff, mtimeSeconds: Number.MAX_SAFE_INTEGER, checksum }
  const content = readAll(write(blocks, options))
  expect(content.end).toBeUndefined()
  expect(content.header).toEqual({ name: 'größe', mode: 0xffff_ffff, mtimeSeconds: Number.MAX_SAFE_INTEGER })
  expect(Buffer.compare(Buffer.concat(content.blocks), Buffer.concat(blocks))).toBe(0)
  expect(content.blocks.length).toBe(blocks.length)
})

it('stores what does not get smaller', () => {
  const plain = noise(seededRandom(4), 100)
  const into = new Uint8Array(200)
  expect(new LzopWriter().blockInto(plain, into)).toBe(112)
  expect(into.subarray(12, 112)).toEqual(plain)
  expect(new LzopWriter({ checksum: 'none' }).blockInto(plain, into)).toBe(108)
  expect(into.subarray(8, 108)).toEqual(plain)
})

describe('guards', () => {
  const room = new Uint8Array(LZOP_MAX_BLOCK_BYTES + 100)

  it.each<[string, LzopOptions]>([
    ['name is "a/b"', { name: 'a/b' }],
    ['name is "a\\u0000b"', { name: 'a\0b' }],
    ['expected at most 255 bytes', { name: 'ö'.repeat(128) }],
    ['mode is -1', { mode: -1 }],
    ['mode is 4294967296', { mode: 2 ** 32 }],
    ['mode is 0.5', { mode: 0.5 }],
    ['mtimeSeconds is -1', { mtimeSeconds: -1 }],
    ['mtimeSeconds is 9007199254740992', { mtimeSeconds: 2 ** 53 }],
    ['checksum is md5', { checksum: 'md5' as 'none' }],
  ])('refuses options: %s', (message, options) => {
    expect(() => new LzopWriter(options)).toThrow(RangeError)
    expect(() => new LzopWriter(options)).toThrow(message)
  })

  it('takes a name of 255 bytes', () => {
    const name = 'n'.repeat(255)
    expect(readAll(write([], { name })).header?.name).toBe(name)
  })

  it('refuses a block that is empty or too long, and memory that is too short', () => {
    const writer = new LzopWriter()
    expect(() => writer.blockInto(room.subarray(0, 0), room)).toThrow('plain has 0 bytes, expected 1 to 262144')
    expect(() => writer.blockInto(room.subarray(0, LZOP_MAX_BLOCK_BYTES + 1), room)).toThrow(RangeError)
    expect(() => writer.blockInto(room.subarray(0, 5), new Uint8Array(16))).toThrow('into has 16 bytes, expected 17')
  })
})
