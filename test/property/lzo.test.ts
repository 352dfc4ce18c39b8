import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LZOP_BLOCK_OVERHEAD_BYTES, Lzo1x, LzopReader, LzopWriter } from '../../src/lzo/index.ts'
import { createKernel } from '../../src/lzo/kernel.ts'
import { seededRandom } from '../../src/random.ts'
import { decompressReference } from '../reference/lzo1x.ts'
import { readAll } from '../unit/lzo/read-all.ts'
import { noise, sampleBytes } from '../unit/lzo/sample.ts'

const codec = new Lzo1x()
const kernel = createKernel()
const memory = new Uint8Array(kernel.input.buffer)
/** Input, output and the rest of the kernel's memory; its tables lie before. */
const buffers = memory.subarray(kernel.input.byteOffset)

const isEqual = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

const samples = (maxBytes: number): fc.Arbitrary<Uint8Array> =>
  fc
    .record({ seed: fc.integer(), lengthBytes: fc.integer({ min: 0, max: maxBytes }) })
    .map(({ seed, lengthBytes }) => sampleBytes(seededRandom(seed), lengthBytes))

function compress(plain: Uint8Array): Uint8Array | undefined {
  const into = new Uint8Array(plain.length)
  const lengthBytes = codec.compressInto(plain, into)
  return lengthBytes === undefined ? undefined : into.subarray(0, lengthBytes)
}

describe('the compressor', () => {
  it('makes streams that give the plain bytes again, to us and to the reference', () => {
    fc.assert(
      fc.property(samples(70_000), (plain) => {
        const compressed = compress(plain)
        if (!compressed) return
        expect(compressed.length).toBeLessThan(plain.length)
        const into = new Uint8Array(plain.length)
        expect(codec.decompressInto(compressed, into)).toBeUndefined()
        expect(isEqual(into, plain)).toBe(true)
        expect(isEqual(decompressReference(compressed, plain.length) as Uint8Array, plain)).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  it('writes no more than its limit and its slack', () => {
    fc.assert(
      fc.property(samples(20_000), fc.nat(), fc.nat(5000), fc.nat(20_000), (sample, seed, noiseBytes, limitBytes) => {
        const plain = Uint8Array.from([...sample, ...noise(seededRandom(seed), noiseBytes)])
        buffers.fill(0xa5)
        kernel.input.set(plain)
        const lengthBytes = kernel.compress(plain.length, limitBytes)
        expect(lengthBytes).toBeLessThanOrEqual(limitBytes)
        const slackBytes = plain.length / 255 + 32
        expect(kernel.output.subarray(limitBytes + slackBytes).every((byte) => byte === 0xa5)).toBe(true)
        expect(isEqual(kernel.input.subarray(0, plain.length), plain)).toBe(true)
        expect(kernel.input.subarray(plain.length).every((byte) => byte === 0xa5)).toBe(true)
      }),
      { numRuns: 100 },
    )
  })
})

describe('the decompressor', () => {
  const literals = (min: number, max: number) => fc.uint8Array({ minLength: min, maxLength: max })
  /** Mostly so short that the bytes are there. */
  const distances = fc.oneof({ weight: 4, arbitrary: fc.nat(30) }, { weight: 1, arbitrary: fc.nat(0x3fff) })
  const lengths = fc.oneof(fc.integer({ min: 2, max: 40 }), fc.integer({ min: 2, max: 900 }))

  const lengthBytes = (length: number): number[] => [
    ...Array.from({ length: Math.ceil(length / 255) - 1 }, () => 0),
    length - (Math.ceil(length / 255) - 1) * 255,
  ]
  const longMatch = (opcode: number, mask: number, length: number, distance: number, tail: Uint8Array): number[] => [
    ...(length - 2 <= mask && length > 2
      ? [opcode | (length - 2)]
      : [opcode, ...lengthBytes(Math.max(1, length - 2 - mask))]),
    ((distance & 63) << 2) | tail.length,
    distance >> 6,
    ...tail,
  ]

  /** One instruction with all that belongs to it. What the ones below 16 mean depends on the one before. */
  const instructions: fc.Arbitrary<number[]> = fc.oneof(
    literals(4, 18).map((bytes) => [bytes.length - 3, ...bytes]),
    literals(19, 300).map((bytes) => [0, ...lengthBytes(bytes.length - 18), ...bytes]),
    fc
      .tuple(fc.integer({ min: 3, max: 8 }), distances, literals(0, 3))
      .map(([length, distance, tail]) => [
        ((length - 1) << 5) | ((distance & 7) << 2) | tail.length,
        (distance >> 3) & 0xff,
        ...tail,
      ]),
    fc
      .tuple(lengths, distances, literals(0, 3))
      .map(([length, distance, tail]) => longMatch(32, 31, length, distance, tail)),
    fc
      .tuple(fc.constantFrom(16, 24), lengths, distances, literals(0, 3))
      .map(([opcode, length, distance, tail]) => longMatch(opcode, 7, length, distance, tail)),
    fc
      .tuple(fc.nat(3), fc.nat(255), literals(0, 3))
      .map(([low, high, tail]) => [(low << 2) | tail.length, high & 7, ...tail]),
  )
  const handmade = fc
    .record({ first: literals(0, 238), body: fc.array(instructions, { maxLength: 30 }), end: fc.boolean() })
    .map(({ first, body, end }) =>
      Uint8Array.from([
        ...(first.length > 0 ? [first.length + 17, ...first] : []),
        ...body.flat(),
        ...(end ? [17, 0, 0] : []),
      ]),
    )

  const mutated = fc
    .record({
      plain: samples(3000),
      edits: fc.array(fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 17, 255))), { maxLength: 4 }),
      cutBytes: fc.oneof(fc.constant(0), fc.nat(10)),
    })
    .map(({ plain, edits, cutBytes }) => {
      const stream = compress(plain) ?? Uint8Array.of(17, 0, 0)
      for (const [at, byte] of edits) stream[at % stream.length] = byte
      return stream.subarray(0, Math.max(0, stream.length - cutBytes))
    })

  const streams = fc.oneof(fc.uint8Array({ maxLength: 400 }), handmade, mutated)
  const FAULTS = ['input-overrun', 'output-overrun', 'lookbehind-overrun', 'trailing-input']

  it('agrees with the reference on any input, and touches nothing outside its buffers', () => {
    const outcomes = new Set<string>()
    const before = new Uint8Array(memory.length)
    fc.assert(
      fc.property(streams, fc.oneof(fc.nat(4000), fc.constant(40_000)), (stream, capacityBytes) => {
        const expected = decompressReference(stream, capacityBytes)
        buffers.fill(0xa5)
        kernel.input.set(stream)
        before.set(memory)
        const result = kernel.decompress(stream.length, capacityBytes)
        if (typeof expected === 'string') {
          expect(FAULTS[-result - 1]).toBe(expected)
          outcomes.add(expected)
        } else {
          expect(result).toBe(expected.length)
          expect(isEqual(kernel.output.subarray(0, result), expected)).toBe(true)
          outcomes.add('success')
        }
        const start = kernel.output.byteOffset
        const end = start + capacityBytes + 16
        expect(isEqual(memory.subarray(0, start), before.subarray(0, start))).toBe(true)
        expect(isEqual(memory.subarray(end), before.subarray(end))).toBe(true)
      }),
      { numRuns: 3000 },
    )
    expect([...outcomes].sort()).toEqual([...FAULTS, 'success'].sort())
  })

  it('reads the capacity exactly', () => {
    fc.assert(
      fc.property(handmade, (stream) => {
        const plain = decompressReference(stream, 100_000)
        if (typeof plain === 'string') return
        const into = new Uint8Array(plain.length)
        expect(codec.decompressInto(stream, into)).toBeUndefined()
        expect(isEqual(into, plain)).toBe(true)
        expect(codec.decompressInto(stream, new Uint8Array(plain.length + 1))).toBe('short-output')
        if (plain.length > 0) expect(codec.decompressInto(stream, into.subarray(1))).toBe('output-overrun')
      }),
      { numRuns: 1000 },
    )
  })
})

describe('the reader of .lzo files', () => {
  const reader = () => new LzopReader(codec)

  const files = fc
    .record({
      blocks: fc.array(
        samples(3000).filter(({ length }) => length > 0),
        { maxLength: 5 },
      ),
      name: fc.string({ maxLength: 20 }).filter((name) => !/[/\0]/.test(name)),
      checksum: fc.constantFrom('adler32', 'crc32', 'none'),
    })
    .map(({ blocks, name, checksum }) => {
      const writer = new LzopWriter({ name, checksum }, codec)
      const parts = blocks.map((plain) => {
        const into = new Uint8Array(plain.length + LZOP_BLOCK_OVERHEAD_BYTES)
        return into.subarray(0, writer.blockInto(plain, into))
      })
      return { file: Buffer.concat([writer.header(), ...parts, writer.end()]), plain: Buffer.concat(blocks), checksum }
    })

  function split(file: Uint8Array, cuts: readonly number[]): Uint8Array[] {
    const ends = [...cuts.map((cut) => cut % (file.length + 1)), file.length].sort((a, b) => a - b)
    return ends.map((end, index) => file.subarray(ends[index - 1] ?? 0, end))
  }

  it('yields the same, whole or faulty, however the input is split', () => {
    fc.assert(
      fc.property(
        files,
        fc.array(fc.nat(), { maxLength: 20 }),
        fc.option(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }))),
        ({ file }, cuts, edit) => {
          const edited = Uint8Array.from(file)
          if (edit) edited[edit[0] % file.length]! ^= edit[1]
          expect(readAll(split(edited, cuts), reader())).toEqual(readAll([edited], reader()))
        },
      ),
      { numRuns: 300 },
    )
  })

  it('yields what was written', () => {
    fc.assert(
      fc.property(files, ({ file, plain }) => {
        const { blocks, end } = readAll([file], reader())
        expect(end).toBeUndefined()
        expect(isEqual(Buffer.concat(blocks), plain)).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  // A flipped bit of a distance puts other bytes in the place of a match, and Adler-32, the default of lzop, is blind to some such
  // changes (of `b c b` to `c a c`, say): then the file cannot tell. CRC-32 tells.
  it('yields no wrong byte and reports a flipped bit, unless the checksum of the block is right all the same', () => {
    const checked = files.filter(({ checksum }) => checksum !== 'none')
    fc.assert(
      fc.property(checked, fc.nat(), fc.nat(7), ({ file, plain, checksum }, at, bit) => {
        const flipped = Uint8Array.from(file)
        flipped[at % file.length]! ^= 1 << bit
        const { blocks, end } = readAll([flipped], reader())
        let readBytes = 0
        for (const block of blocks) {
          const right = plain.subarray(readBytes, (readBytes += block.length))
          if (checksum === 'crc32') expect(isEqual(block, right)).toBe(true)
          else expect(codec.adler32(block)).toBe(codec.adler32(right))
        }
        if (end === undefined) expect(readBytes).toBe(plain.length)
      }),
      { numRuns: 1000 },
    )
  })

  it('takes any input', () => {
    const magic = [0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a]
    fc.assert(
      fc.property(fc.boolean(), fc.uint8Array({ maxLength: 200 }), (isMarked, bytes) => {
        const { fault } = readAll(isMarked ? [Uint8Array.from(magic), bytes] : [bytes], reader())
        if (!isMarked && bytes.length >= 9) expect(fault).toBe('not-lzop')
      }),
    )
  })
})
