import * as zlib from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { Lzo1x } from '../../../src/lzo/index.ts'
import { Codec } from '../../../src/protocol/index.ts'
import { decodableCodecs, FrameConsumer } from '../../../src/receiver/frame-consumer.ts'
import { data, endOf, frameOf, zeros } from './frames.ts'
import { MemorySink } from './memory-sink.ts'

const SLICE_BYTES = 16_384
const geometry = { sliceBytes: SLICE_BYTES, packetBytes: 1472, symbolBytes: 1448 }
function lzo(plain: Uint8Array): Uint8Array {
  const into = new Uint8Array(plain.length)
  return into.subarray(0, new Lzo1x().compressInto(plain, into))
}

const consumerOf = (sink: MemorySink, imageBytes?: number): FrameConsumer =>
  new FrameConsumer({ sink, geometry, digestKind: 'gmac', imageBytes })

describe('FrameConsumer', () => {
  it('writes data, and zeroes holes and runs of zeros in as few calls as may be', async () => {
    const sink = new MemorySink(100_000)
    const consumer = consumerOf(sink)
    const runs = [zeros(5000, 100), data(8192, 4096), data(20_480, 4096), zeros(24_576, 4096), zeros(40_960, 10)]
    expect(await consumer.consume(0, frameOf(0, runs, 7))).toBe('settled')
    expect(sink.calls).toEqual([
      'zero 0 8192',
      'write 8192 4096',
      'zero 12288 8192',
      'write 20480 4096',
      'zero 24576 16394',
    ])
    expect(consumer.coveredBytes).toBe(40_970)
  })

  it('finishes with the tail zeroed when the root digest is right', async () => {
    const frames = [frameOf(0, [data(0, 4096)], 1), frameOf(4096, [data(8192, 4096)], 2)] as const
    const sink = new MemorySink(50_000)
    const consumer = consumerOf(sink)
    expect(await consumer.consume(1, frames[1])).toBe('settled')
    expect(await consumer.consume(0, frames[0])).toBe('settled')
    const end = endOf(50_000, frames)
    expect(await consumer.finish(end)).toEqual(end.rootDigest)
    expect(sink.finishedBytes).toBe(50_000)
    const expected = new Uint8Array(50_000).fill(1, 0, 4096).fill(2, 8192, 12_288)
    expect(Buffer.compare(sink.bytes, expected)).toBe(0)
  })

  it('finishes an image without data', async () => {
    const sink = new MemorySink(5000)
    await consumerOf(sink).finish(endOf(5000, []))
    expect(sink.calls).toEqual(['zero 0 5000', 'finish'])
    const empty = new MemorySink(0)
    await consumerOf(empty).finish(endOf(0, []))
    expect([empty.calls, empty.finishedBytes]).toEqual([['finish'], 0])
  })

  it.each(decodableCodecs())('undoes codec %d', async (codec) => {
    const { zstdCompressSync } = zlib as unknown as { zstdCompressSync: (bytes: Uint8Array) => Uint8Array }
    const payload = { [Codec.none]: (plain: Uint8Array) => plain, [Codec.lzo]: lzo, [Codec.zstd]: zstdCompressSync }[
      codec
    ]
    const sink = new MemorySink(SLICE_BYTES)
    expect(await consumerOf(sink).consume(0, frameOf(0, [data(0, SLICE_BYTES)], 9, { codec, payload }))).toBe('settled')
    expect(sink.bytes.every((byte) => byte === 9)).toBe(true)
  })

  const good = frameOf(0, [data(0, 4096)], 5, { codec: Codec.lzo, payload: lzo })
  const flipped = (at: number): Uint8Array => good.map((byte, index) => (index === at ? byte ^ 1 : byte))
  it.each([
    ['with another span start', flipped(15)],
    ['with another digest', flipped(20)],
    ['with another run', flipped(55)],
    ['with another payload', flipped(good.length - 10)],
    ['without its end', good.subarray(0, -1)],
    ['with something behind', Uint8Array.of(...good, 0)],
    ['without a payload', good.subarray(0, 64)],
    ['without a head', good.subarray(0, 10)],
    ['of another codec', frameOf(0, [data(0, 4096)], 5, { codec: Codec.zstd, payload: lzo })],
    [
      'that holds more than it says',
      frameOf(0, [data(0, 4096)], 5, { codec: Codec.lzo, payload: () => lzo(new Uint8Array(5000)) }),
    ],
    [
      'that holds less than it says',
      frameOf(0, [data(0, 4096)], 5, { codec: Codec.lzo, payload: () => lzo(new Uint8Array(4000)) }),
    ],
    ['with other data', frameOf(0, [data(0, 4096)], 5, { payload: (plain) => plain.map((byte) => byte + 1) })],
    ['beyond the image', frameOf(0, [data(0, 4096), data(99_000, 1001)], 5)],
    ['with zeros beyond the image', frameOf(0, [data(0, 4096), zeros(99_000, 1001)], 5)],
  ])('rejects a frame %s, and writes nothing of it', async (_, frame) => {
    const sink = new MemorySink(100_000)
    const consumer = consumerOf(sink, 100_000)
    expect(await consumer.consume(0, frame)).toBe('rejected')
    expect(sink.calls).toEqual([])
    expect(await consumer.consume(0, good)).toBe('settled')
    await consumer.finish(endOf(100_000, [good]))
  })

  it('does not finish when the root digest differs', async () => {
    const sink = new MemorySink(8192)
    const consumer = consumerOf(sink)
    await consumer.consume(0, frameOf(0, [data(0, 4096)], 1))
    const end = endOf(8192, [frameOf(0, [data(0, 4096)], 2)])
    await expect(consumer.finish(end)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect(sink.finishedBytes).toBeUndefined()
  })

  it('does not cut off what it has written', async () => {
    const sink = new MemorySink(8192)
    const consumer = consumerOf(sink)
    const frame = frameOf(0, [data(0, 8192)], 1)
    await consumer.consume(0, frame)
    await expect(consumer.finish(endOf(8191, [frame]))).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect(sink.finishedBytes).toBeUndefined()
  })

  it('passes on what the sink throws, and does not count the slice', async () => {
    const sink = new MemorySink(8192)
    const consumer = consumerOf(sink)
    sink.onWrite = () => Promise.reject(new Error('disk full'))
    await expect(consumer.consume(0, frameOf(0, [data(0, 4096)], 1))).rejects.toThrow('disk full')
    expect(consumer.coveredBytes).toBe(0)
  })

  it('tells of a failed write before it is told to the caller', async () => {
    const sink = new MemorySink(8192)
    const order: string[] = []
    const consumer = new FrameConsumer({ sink, geometry, digestKind: 'gmac', onFailed: () => order.push('failed') })
    sink.onWrite = () => Promise.reject(new Error('disk full'))
    await consumer.consume(0, frameOf(0, [data(0, 4096)], 1)).catch(() => order.push('rejected'))
    expect(order).toEqual(['failed', 'rejected'])
  })

  it('fails what waits behind a failed write at a sequential sink', async () => {
    const sink = new MemorySink(8192, true)
    const consumer = consumerOf(sink)
    sink.onWrite = () => Promise.reject(new Error('reader gone'))
    const frames = [0, 4096].map((offset) => frameOf(offset, [data(offset, 4096)], 1))
    const outcomes = await Promise.allSettled(frames.map((frame, index) => consumer.consume(index, frame)))
    expect(outcomes).toMatchObject([{ reason: new Error('reader gone') }, { reason: new Error('reader gone') }])
    expect(sink.calls).toEqual(['write 0 4096'])
  })

  it('keeps slices apart that are written at once', async () => {
    const sink = new MemorySink(4 * SLICE_BYTES)
    const gates: (() => void)[] = []
    sink.onWrite = () => new Promise((resolve) => gates.push(resolve))
    const consumer = consumerOf(sink)
    const frames = [0, 1, 2, 3].map((index) => {
      const start = index * SLICE_BYTES
      return frameOf(start, [data(start, SLICE_BYTES)], index + 1, { codec: Codec.lzo, payload: lzo })
    })
    const outcomes = frames.map((frame, index) => consumer.consume(index, frame))
    expect(gates.length).toBe(4)
    for (const open of gates.reverse()) open()
    expect(await Promise.all(outcomes)).toEqual(['settled', 'settled', 'settled', 'settled'])
    await consumer.finish(endOf(4 * SLICE_BYTES, frames))
    expect([0, 1, 2, 3].map((index) => sink.bytes[index * SLICE_BYTES])).toEqual([1, 2, 3, 4])
  })

  it('gives a sequential sink one slice after the other', async () => {
    const sink = new MemorySink(3 * 4096, true)
    const gates: (() => void)[] = []
    sink.onWrite = () => new Promise((resolve) => gates.push(resolve))
    const consumer = consumerOf(sink)
    const frames = [0, 1].map((index) => frameOf(index * 4096, [data(index * 4096, 4096)], index + 1))
    const outcomes = frames.map((frame, index) => consumer.consume(index, frame))
    await Promise.resolve()
    expect(sink.calls).toEqual(['write 0 4096'])
    gates[0]!()
    await outcomes[0]
    await Promise.resolve()
    expect(sink.calls).toEqual(['write 0 4096', 'write 4096 4096'])
    gates[1]!()
    expect(await Promise.all(outcomes)).toEqual(['settled', 'settled'])
  })

  it('tells what does not follow at a sequential sink from what is damaged', async () => {
    const sink = new MemorySink(3 * 4096, true)
    const consumer = consumerOf(sink)
    const [first, second] = [frameOf(0, [data(0, 4096)], 1), frameOf(4096, [data(4096, 4096)], 2)]
    const damaged = first.map((byte, index) => (index === 100 ? byte ^ 1 : byte))
    expect(await Promise.all([consumer.consume(0, damaged), consumer.consume(1, second)])).toEqual([
      'rejected',
      'early',
    ])
    expect(sink.calls).toEqual([])
    expect(await Promise.all([consumer.consume(0, first), consumer.consume(1, second)])).toEqual(['settled', 'settled'])
  })

  it('closes when the writes that are under way have ended', async () => {
    const sink = new MemorySink(4096)
    let open = (): void => undefined
    sink.onWrite = () => new Promise((resolve) => (open = resolve))
    const consumer = consumerOf(sink)
    await consumer.close()
    const outcome = consumer.consume(0, frameOf(0, [data(0, 4096)], 1))
    let isClosed = false
    const closed = consumer.close().then(() => (isClosed = true))
    await Promise.resolve()
    expect(isClosed).toBe(false)
    open()
    expect(await outcome).toBe('settled')
    await closed
  })
})
