import { createHash } from 'node:crypto'
import * as zlib from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { Spool } from '../../../src/io/index.ts'
import { Lzo1x } from '../../../src/lzo/index.ts'
import { Codec, decodeFrame, RootDigest, type FrameHeader } from '../../../src/protocol/index.ts'
import { EncoderPool } from '../../../src/sender/encoder-pool.ts'
import { canCompressZstd } from '../../../src/sender/frame-encoder.ts'
import { FrameProducer, type FrameProducerOptions } from '../../../src/sender/frame-producer.ts'
import type { ImageSource } from '../../../src/sparse/index.ts'
import { imageOf, MemorySource, streamOf } from '../sparse/images.ts'

const SLICE_BYTES = 16_384
const geometry = { sliceBytes: SLICE_BYTES, packetBytes: 1472, symbolBytes: 1448 }

/** A spool that copies its records, as a file does. */
class MemorySpool implements Pick<Spool, 'append' | 'read'> {
  readonly records: Uint8Array[] = []

  append(index: number, bytes: Uint8Array): Promise<void> {
    expect(index).toBe(this.records.length)
    this.records.push(bytes.slice())
    return Promise.resolve()
  }

  read(index: number, into: Uint8Array): Promise<Uint8Array> {
    into.set(this.records[index]!)
    return Promise.resolve(into.subarray(0, this.records[index]!.length))
  }
}

/** Encodes by itself: no thread is started. */
const producerOf = (
  source: ImageSource,
  { codec = Codec.none, ...options }: Partial<FrameProducerOptions> & { codec?: Codec } = {},
): FrameProducer =>
  new FrameProducer({ source, geometry, encoder: new EncoderPool({ codec, digestKind: 'sha256' }, 0), ...options })

/** All frames, copied and released. */
async function framesOf(producer: FrameProducer): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = []
  for (;;) {
    const made = await producer.next()
    if (made === undefined) return frames
    expect(made.slice).toBe(frames.length)
    frames.push(made.frame.slice())
    producer.release(made.frame)
  }
}

function headerOf(frame: Uint8Array): FrameHeader {
  const header = decodeFrame(frame, SLICE_BYTES)
  if (typeof header === 'string') throw new Error(header)
  return header
}

/** Bytes that do not compress. */
function noise(lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  for (let at = 0; at < lengthBytes; at += 32)
    bytes.set(
      createHash('sha256')
        .update(`${at}`)
        .digest()
        .subarray(0, lengthBytes - at),
      at,
    )
  return bytes
}

/** Has three frames under way at once, and is done with the last of them first. */
class LateEncoder extends EncoderPool {
  mostUnderWay = 0
  wasReordered = false
  readonly #waiting: (() => void)[] = []

  constructor() {
    super({ codec: Codec.none, digestKind: 'sha256' }, 0)
  }

  override get frameCount(): number {
    return 3
  }

  override async encode(frame: Uint8Array<ArrayBuffer>, headBytes: number): Promise<Uint8Array> {
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve)
      this.mostUnderWay = Math.max(this.mostUnderWay, this.#waiting.length)
      setImmediate(() => {
        if (this.#waiting.length > 1) this.wasReordered = true
        this.#waiting.pop()?.()
      })
    })
    return this.encodeNow(frame, headBytes)
  }
}

describe('FrameProducer', () => {
  it('makes frames of the data only, back to back in span order', async () => {
    const producer = producerOf(new MemorySource(imageOf(20 * 4096 + 100, [1, 2, 3, 9, 12, 18])))
    const headers = (await framesOf(producer)).map(headerOf)
    expect(headers.map(({ spanStart, plainBytes, runs }) => [spanStart, plainBytes, runs.length])).toEqual([
      [0, 16_384, 2],
      [40_960, 8192, 2],
    ])
    const totals = await producer.finish()
    expect(totals).toMatchObject({ sliceCount: 2, imageBytes: 82_020, dataBytes: 24_576 })
    expect([producer.startOf(0), producer.startOf(1), producer.startOf(2)]).toEqual([0, 40_960, 77_824])
  })

  it('digests content, not coding, and the whole over all', async () => {
    const image = imageOf(10 * 4096, [0, 1, 2, 3, 5, 6])
    const plain = await framesOf(producerOf(new MemorySource(image)))
    const producer = producerOf(new MemorySource(image), { codec: Codec.lzo })
    const packed = await framesOf(producer)
    const root = new RootDigest((...parts) => createHash('sha256').update(Buffer.concat(parts)).digest())
    for (const [index, frame] of plain.entries()) {
      const header = headerOf(frame)
      const covered = [frame.subarray(2, 16), frame.subarray(48)]
      expect(Buffer.from(header.digest)).toEqual(createHash('sha256').update(Buffer.concat(covered)).digest())
      expect(headerOf(packed[index]!).digest).toEqual(header.digest)
      root.add(index, header.digest)
    }
    expect((await producer.finish()).rootDigest).toEqual(root.finish(40_960, 2))
  })

  it('compresses by LZO, but sends raw what does not shrink', async () => {
    const image = new Uint8Array(2 * SLICE_BYTES).fill(7)
    image.set(noise(SLICE_BYTES), SLICE_BYTES)
    const producer = producerOf(new MemorySource(image), { codec: Codec.lzo })
    const [packed, raw] = (await framesOf(producer)) as [Uint8Array, Uint8Array]
    expect(headerOf(packed).codec).toBe(Codec.lzo)
    expect(packed.length).toBeLessThan(500)
    const plain = new Uint8Array(SLICE_BYTES)
    expect(new Lzo1x().decompressInto(packed.subarray(headerOf(packed).payloadOffset), plain)).toBeUndefined()
    expect(Buffer.compare(plain, image.subarray(0, SLICE_BYTES))).toBe(0)
    expect(headerOf(raw).codec).toBe(Codec.none)
    expect(Buffer.compare(raw.subarray(headerOf(raw).payloadOffset), image.subarray(SLICE_BYTES))).toBe(0)
    expect(producer.totals.frameBytes).toBe(packed.length + raw.length)
  })

  it.runIf(canCompressZstd())('compresses by zstd', async () => {
    const image = new Uint8Array(SLICE_BYTES).fill(7)
    const [packed] = (await framesOf(producerOf(new MemorySource(image), { codec: Codec.zstd }))) as [Uint8Array]
    const { codec, payloadOffset } = headerOf(packed)
    expect(codec).toBe(Codec.zstd)
    const { zstdDecompressSync } = zlib as unknown as { zstdDecompressSync: (bytes: Uint8Array) => Uint8Array }
    expect(Buffer.compare(zstdDecompressSync(packed.subarray(payloadOffset)), image)).toBe(0)
  })

  it.each([Codec.none, Codec.lzo])(
    'makes every frame again byte for byte, in any order, with codec %d',
    async (codec) => {
      const image = imageOf(
        40 * 4096,
        [...Array(40).keys()].filter((page) => page % 5 !== 2),
      )
      image.set(noise(30_000), 50_000)
      const producer = producerOf(new MemorySource(image), { codec })
      const frames = await framesOf(producer)
      expect(producer.canReread).toBe(true)
      for (const index of [...frames.keys()].reverse()) {
        const frame = await producer.again(index)
        expect(Buffer.compare(frame, frames[index]!)).toBe(0)
        producer.release(frame)
      }
    },
  )

  it('reads ahead what the encoder can have under way, and keeps the order in which it was read', async () => {
    const image = imageOf(40 * 4096, [...Array(40).keys()])
    const encoder = new LateEncoder()
    const producer = producerOf(new MemorySource(image), { encoder })
    const frames = framesOf(producer)
    const plain = await framesOf(producerOf(new MemorySource(image)))
    expect(Buffer.concat(await frames)).toEqual(Buffer.concat(plain))
    expect(encoder.mostUnderWay).toBe(encoder.frameCount)
    expect(encoder.wasReordered).toBe(true)
  })

  it('tells of a source that fails once it comes to that slice, and reads no further', async () => {
    const source = new MemorySource(imageOf(40 * 4096, [...Array(40).keys()]))
    let readCount = 0
    source.readInto = (offset, into) => {
      readCount++
      if (offset >= 2 * SLICE_BYTES) return Promise.reject(new Error('torn'))
      into.fill(1)
      return Promise.resolve()
    }
    const producer = producerOf(source, { encoder: new LateEncoder() })
    expect((await producer.next())?.slice).toBe(0)
    expect((await producer.next())?.slice).toBe(1)
    await expect(producer.next()).rejects.toThrow('torn')
    expect(readCount).toBe(3)
  })

  it('keeps frames apart that are made at once', async () => {
    const image = imageOf(40 * 4096, [...Array(40).keys()])
    const frames = await framesOf(producerOf(new MemorySource(image), { codec: Codec.lzo }))
    const producer = producerOf(new MemorySource(image), { codec: Codec.lzo })
    await producer.next()
    const [again, made, againToo] = await Promise.all([producer.again(0), producer.next(), producer.again(0)])
    expect(Buffer.compare(again, frames[0]!)).toBe(0)
    expect(Buffer.compare(againToo, frames[0]!)).toBe(0)
    expect(Buffer.compare(made!.frame, frames[1]!)).toBe(0)
  })

  it('reads zeros at the end once, and not at all when it makes the last frame again', async () => {
    const source = new MemorySource(imageOf(400 * 4096, [0]))
    const producer = producerOf(source)
    await framesOf(producer)
    expect(source.reads.at(-1)?.end).toBe(source.sizeBytes)
    expect(source.reads.length).toBe(100)
    await producer.again(0)
    expect(source.reads.slice(100)).toEqual([{ start: 0, end: 4096 }])
  })

  it('notices that the source has changed', async () => {
    const source = new MemorySource(imageOf(8 * 4096, [0, 1, 2, 3, 4]))
    const producer = producerOf(source)
    await framesOf(producer)
    source.image[8192] = 99
    await expect(producer.again(0)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' })
    source.image.fill(0, 4 * 4096)
    await expect(producer.again(1)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' })
  })

  it('asks the source at the end whether it is unchanged', async () => {
    const source = Object.assign(new MemorySource(imageOf(4096, [0])), {
      verifyUnchanged: () => Promise.reject(new Error('changed')),
    })
    const producer = producerOf(source)
    await framesOf(producer)
    await expect(producer.finish()).rejects.toThrow('changed')
  })

  it('makes the frames of a stream again from its spool', async () => {
    const spool = new MemorySpool()
    const image = imageOf(12 * 4096, [0, 1, 2, 3, 8, 9])
    const source = streamOf([{ offset: 0, data: image }])
    const producer = producerOf(source, { codec: Codec.lzo, spool: spool as unknown as Spool })
    expect(producer.imageBytes).toBeUndefined()
    const frames = await framesOf(producer)
    expect(producer.imageBytes).toBe(image.length)
    expect(producer.canReread).toBe(true)
    expect(Buffer.compare(await producer.again(1), frames[1]!)).toBe(0)
    expect((await producer.finish()).imageBytes).toBe(image.length)
  })

  it('cannot make the frames of a stream again without a spool', async () => {
    const producer = producerOf(streamOf([{ offset: 0, data: imageOf(4096, [0]) }]))
    await framesOf(producer)
    expect(producer.canReread).toBe(false)
    await expect(producer.again(0)).rejects.toThrow(TypeError)
  })

  it.each([-1, 1, NaN])('refuses to make slice %d again when there is one', async (index) => {
    const producer = producerOf(new MemorySource(imageOf(4096, [0])))
    await framesOf(producer)
    await expect(producer.again(index)).rejects.toThrow(RangeError)
  })

  it('carries runs of zeros that have no data', async () => {
    const producer = producerOf(streamOf([{ offset: 4096, zeroBytes: 8192 }]), { codec: Codec.lzo })
    const [frame] = (await framesOf(producer)) as [Uint8Array]
    expect(headerOf(frame)).toMatchObject({ plainBytes: 0, runs: [{ offset: 4096, lengthBytes: 8192, isZero: true }] })
  })

  it.each([0, 100_000])('makes no frames of an image of %d zeros', async (sizeBytes) => {
    const producer = producerOf(new MemorySource(new Uint8Array(sizeBytes)))
    expect(await framesOf(producer)).toEqual([])
    expect(await producer.finish()).toMatchObject({ sliceCount: 0, imageBytes: sizeBytes, dataBytes: 0 })
  })

  it('keeps its books when there are more than 1024 slices', async () => {
    const image = new Uint8Array(1100 * SLICE_BYTES)
    for (let at = 0; at < image.length; at += 4096) image[at] = 1 + ((at / SLICE_BYTES) % 255)
    const producer = producerOf(new MemorySource(image))
    const frames = await framesOf(producer)
    expect((await producer.finish()).sliceCount).toBe(1100)
    for (const index of [1023, 1024, 1099]) {
      expect(Buffer.compare(await producer.again(index), frames[index]!)).toBe(0)
    }
  })
})

describe('how far a producer is', () => {
  it('is a share of the data where the source tells its holes, else of the size', async () => {
    const image = imageOf(1024 * 1024, [...Array(8).keys(), ...Array.from({ length: 8 }, (_, index) => 100 + index)])
    const ranges = [0, 100].map((page) => ({ start: page * 4096, end: (page + 8) * 4096 }))
    const producer = producerOf(new MemorySource(image, ranges))
    const percents: (number | undefined)[] = []
    const expected: (number | undefined)[] = [producer.expectedSliceCount]
    while ((await producer.next()) !== undefined) {
      percents.push(producer.percentBefore(producer.positionBytes))
      expected.push(producer.expectedSliceCount)
    }
    expect(percents).toEqual([25, 50, 75, 100])
    expect(expected).toEqual([undefined, 4, 4, 4, 4])
    const blind = producerOf({ ...streamOf([]), sizeBytes: 1000 })
    expect(blind.percentBefore(250)).toBe(25)
    expect(producerOf(streamOf([])).percentBefore(250)).toBeUndefined()
    expect(producerOf(new MemorySource(new Uint8Array(4096), [])).percentBefore(0)).toBe(100)
  })
})
