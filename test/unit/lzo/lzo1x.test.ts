import { describe, expect, it } from 'vitest'
import { Lzo1x, MAX_BLOCK_BYTES } from '../../../src/lzo/index.ts'
import { createKernel } from '../../../src/lzo/kernel.ts'
import { seededRandom } from '../../../src/random.ts'
import { decompressReference } from '../../reference/lzo1x.ts'
import { noise, sampleBytes } from './sample.ts'

const codec = new Lzo1x()
const random = seededRandom(20)

function compress(plain: Uint8Array): Uint8Array | undefined {
  const into = new Uint8Array(plain.length)
  const lengthBytes = codec.compressInto(plain, into)
  return lengthBytes === undefined ? undefined : into.subarray(0, lengthBytes)
}

function decompress(source: Uint8Array, plainBytes: number): Uint8Array | string {
  const into = new Uint8Array(plainBytes)
  return codec.decompressInto(source, into) ?? into
}

/** As `toEqual`, which takes long over long arrays. */
const isEqual = (a: Uint8Array | string, b: Uint8Array): boolean => typeof a !== 'string' && Buffer.compare(a, b) === 0

const bytes = (hex: string): Uint8Array =>
  Uint8Array.from(hex.split(' ').filter(Boolean), (digits) => Number.parseInt(digits, 16))

const text = (string: string): Uint8Array => new TextEncoder().encode(string)

it('is built for blocks of the length that it tells', () => {
  expect(createKernel().input.length).toBe(MAX_BLOCK_BYTES)
  expect(createKernel().output.length).toBe(MAX_BLOCK_BYTES)
})

describe('compressing', () => {
  it('round-trips samples of every short length, and the reference reads them', () => {
    let compressedCount = 0
    for (let lengthBytes = 0; lengthBytes <= 600; lengthBytes++) {
      const plain = sampleBytes(random, lengthBytes)
      const compressed = compress(plain)
      if (!compressed) continue
      compressedCount++
      expect(compressed.length).toBeLessThan(lengthBytes)
      expect(isEqual(decompressReference(compressed, lengthBytes), plain)).toBe(true)
      expect(isEqual(decompress(compressed, lengthBytes), plain)).toBe(true)
    }
    expect(compressedCount).toBeGreaterThan(300)
  })

  it.each([65_535, 65_536, 65_537, 262_144, MAX_BLOCK_BYTES])('round-trips a sample of %i bytes', (lengthBytes) => {
    const plain = sampleBytes(random, lengthBytes)
    expect(isEqual(decompress(compress(plain)!, lengthBytes), plain)).toBe(true)
  })

  it.each([1, 2, 3, 4, 7, 8, 15, 16, 17, 2048, 2049, 16_384, 16_385, 49_151])(
    'round-trips repeats from a distance of %i bytes',
    (distance) => {
      const pattern = noise(random, distance)
      const plain = Uint8Array.from({ length: distance + 70_000 }, (_, n) => pattern[n % distance]!)
      const compressed = compress(plain)!
      expect(compressed.length).toBeLessThan(distance * 1.005 + 70_000 / 200)
      expect(isEqual(decompress(compressed, plain.length), plain)).toBe(true)
      expect(isEqual(decompressReference(compressed, plain.length), plain)).toBe(true)
    },
  )

  it('does not point back farther than the format can', () => {
    for (const distance of [49_152, 49_153, 65_535, 65_536, 65_537, 98_303]) {
      const far = noise(random, distance)
      const plain = Uint8Array.from([...far, ...far, ...new Uint8Array(2000)])
      expect(isEqual(decompress(compress(plain)!, plain.length), plain)).toBe(true)
    }
  })

  it('round-trips runs of literals of every length, first and later', () => {
    for (let count = 1; count <= 600; count += count < 300 ? 1 : 17) {
      const zeros = new Uint8Array(50)
      const plain = Uint8Array.from([...noise(random, count), ...zeros, ...noise(random, count), ...zeros])
      expect(decompress(compress(plain)!, plain.length)).toEqual(plain)
    }
  })

  it('takes a whole block of zeros and one of noise', () => {
    const zeros = new Uint8Array(MAX_BLOCK_BYTES)
    expect(compress(zeros)!.length).toBeLessThan(MAX_BLOCK_BYTES / 250)
    expect(isEqual(decompress(compress(zeros)!, MAX_BLOCK_BYTES), zeros)).toBe(true)
    expect(compress(noise(random, MAX_BLOCK_BYTES))).toBeUndefined()
  })

  it('declines what does not get smaller, and leaves the result as it was', () => {
    for (const plain of [
      new Uint8Array(0),
      new Uint8Array(3),
      noise(random, 1),
      noise(random, 300),
      noise(random, 70_000),
    ]) {
      const into = new Uint8Array(plain.length + 100).fill(7)
      expect(codec.compressInto(plain, into)).toBeUndefined()
      expect(into.every((byte) => byte === 7)).toBe(true)
    }
  })

  it('declines exactly what does not fit', () => {
    for (let lengthBytes = 20; lengthBytes < 3000; lengthBytes += 97) {
      const plain = sampleBytes(random, lengthBytes)
      const compressedBytes = compress(plain)?.length
      if (compressedBytes === undefined) continue
      expect(codec.compressInto(plain, new Uint8Array(compressedBytes))).toBe(compressedBytes)
      expect(codec.compressInto(plain, new Uint8Array(compressedBytes - 1))).toBeUndefined()
    }
  })

  it('may write over its source', () => {
    const plain = new Uint8Array(5000).fill(1)
    const buffer = plain.slice()
    const lengthBytes = codec.compressInto(buffer, buffer)!
    expect(decompress(buffer.subarray(0, lengthBytes), 5000)).toEqual(plain)
  })

  it('does not remember the block before', () => {
    const plain = sampleBytes(random, 5000)
    const first = compress(plain)
    compress(sampleBytes(random, 5000))
    expect(compress(plain)).toEqual(first)
  })

  it('refuses a block that is too long', () => {
    const long = new Uint8Array(MAX_BLOCK_BYTES + 1)
    expect(() => codec.compressInto(long, long)).toThrow(
      new RangeError('source has 1048577 bytes, expected at most 1048576'),
    )
  })
})

describe('decompressing', () => {
  // Instructions by hand; the compressor does not use all of them.
  it.each([
    ['nothing', '11 00 00', ''],
    ['first literals, 4 and more', '15 61 62 63 64 11 00 00', 'abcd'],
    ['first literals, fewer', '12 61 11 00 00', 'a'],
    ['a run of literals', '01 61 62 63 64 11 00 00', 'abcd'],
    ['a long run of literals', `00 01 ${'61 '.repeat(19)}11 00 00`, 'a'.repeat(19)],
    ['2 bytes from near, after few literals', '13 61 62 04 00 11 00 00', 'abab'],
    ['3 and 4 bytes from near', '15 61 62 63 64 4c 00 60 00 11 00 00', 'abcdabccccc'],
    ['8 bytes from near, and a literal', '15 61 62 63 64 ed 00 65 11 00 00', 'abcdabcdabcde'],
    ['a match and three literals', '15 61 62 63 64 27 0f 00 78 79 7a 11 00 00', 'abcdabcdabcdaxyz'],
    ['a longer match', '12 61 20 01 00 00 11 00 00', 'a'.repeat(35)],
    ['a match longer by 255', '12 61 20 00 01 00 00 11 00 00', 'a'.repeat(290)],
  ])('reads %s', (_name, source, plain) => {
    expect(decompress(bytes(source), plain.length)).toEqual(text(plain))
    expect(decompressReference(bytes(source), plain.length)).toEqual(text(plain))
  })

  it('reads 3 bytes from beyond 2 KiB, after many literals', () => {
    const run = sampleBytes(random, 2053)
    const source = [0, ...Array.from({ length: 7 }, () => 0), 2053 - 18 - 7 * 255, ...run, 0x04, 0, 0x11, 0, 0]
    expect(decompress(Uint8Array.from(source), 2056)).toEqual(Uint8Array.from([...run, ...run.subarray(3, 6)]))
  })

  it.each([
    ['input-overrun', 'nothing', '', 0],
    ['input-overrun', 'no end mark', '12 61', 1],
    ['input-overrun', 'half an end mark', '11 00', 0],
    ['input-overrun', 'first literals cut', '15 61 62', 4],
    ['input-overrun', 'literals cut', '01 61 62 63', 4],
    ['input-overrun', 'a length without an end', '00 00 00', 600],
    ['input-overrun', 'a length of a match without an end', '12 61 20 00', 600],
    ['input-overrun', 'half a match', '12 61 40', 10],
    ['input-overrun', 'no literals after a match', '12 61 41 00', 10],
    ['input-overrun', 'no literals after a match, nor room for them', '12 61 41 00', 4],
    ['output-overrun', 'one first literal too many', '15 61 62 63 64 11 00 00', 3],
    ['output-overrun', 'one literal too many', '01 61 62 63 64 11 00 00', 3],
    ['output-overrun', 'a match one byte too long', '15 61 62 63 64 4c 00 11 00 00', 6],
    ['output-overrun', 'one literal too many after a match', '12 61 41 00 62 11 00 00', 4],
    ['lookbehind-overrun', 'a match before the start', '15 61 62 63 64 50 00 11 00 00', 7],
    ['lookbehind-overrun', 'a match as the first thing', '11 08 00 11 00 00', 3],
    ['lookbehind-overrun', 'a match from far', '12 61 19 00 00 11 00 00', 4],
    ['trailing-input', 'bytes after the end mark', '12 61 11 00 00 00', 1],
    ['short-output', 'fewer bytes than expected', '12 61 11 00 00', 2],
  ])('says %s to %s, and leaves the result as it was', (fault, _name, source, plainBytes) => {
    const into = new Uint8Array(plainBytes).fill(7)
    expect(codec.decompressInto(bytes(source), into)).toBe(fault)
    expect(into.every((byte) => byte === 7)).toBe(true)
  })

  it('reads sources up to the longest, and refuses longer ones', () => {
    const source = new Uint8Array(MAX_BLOCK_BYTES)
    const literals = MAX_BLOCK_BYTES - 4200
    const lengthBytes = Math.ceil((literals - 18) / 255)
    source.fill(9, 1 + lengthBytes)
    source[lengthBytes] = literals - 18 - (lengthBytes - 1) * 255
    const end = 1 + lengthBytes + literals
    source.set([17, 0, 0], end)
    expect(codec.decompressInto(source, new Uint8Array(MAX_BLOCK_BYTES))).toBe('trailing-input')
    expect(isEqual(decompress(source.subarray(0, end + 3), literals), new Uint8Array(literals).fill(9))).toBe(true)
    expect(codec.decompressInto(new Uint8Array(MAX_BLOCK_BYTES + 1), new Uint8Array(1))).toBe('input-too-long')
  })

  it('says what a source of nothing but zeros is, of any length', () => {
    expect(decompress(new Uint8Array(MAX_BLOCK_BYTES), 100)).toBe('input-overrun')
  })

  it('may write over its source', () => {
    const plain = sampleBytes(random, 5000)
    const buffer = new Uint8Array(5000)
    const lengthBytes = codec.compressInto(plain, buffer)!
    expect(codec.decompressInto(buffer.subarray(0, lengthBytes), buffer)).toBeUndefined()
    expect(buffer).toEqual(plain)
  })

  it('refuses to fill more than a block', () => {
    expect(() => codec.decompressInto(bytes('11 00 00'), new Uint8Array(MAX_BLOCK_BYTES + 1))).toThrow(
      new RangeError('into has 1048577 bytes, expected at most 1048576'),
    )
  })
})
