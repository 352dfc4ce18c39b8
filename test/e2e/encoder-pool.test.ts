import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { EncoderPool as Pool } from '../../src/sender/encoder-pool.ts'
import { Codec, encodeFrameHeadInto, frameHeadBytes } from '../../src/protocol/index.ts'
import { FrameEncoder } from '../../src/sender/frame-encoder.ts'

// Threads run what was compiled: Node.js takes no TypeScript there.
const compiled = new URL('../../dist/sender/encoder-pool.js', import.meta.url)
const { EncoderPool } = (await import(compiled.href)) as { EncoderPool: typeof Pool }

const SLICE_BYTES = 262_144
const HEAD_BYTES = frameHeadBytes(1)

let pool: Pool | undefined
afterEach(() => pool?.close())

async function readyPool(codec: Codec, threadCount: number): Promise<Pool> {
  const made = (pool = new EncoderPool({ codec, digestKind: 'gmac' }, threadCount))
  await vi.waitFor(() => expect(made.frameCount).toBe(4 * threadCount), { timeout: 30_000 })
  return made
}

/** A frame that is not encoded yet, in the middle of its buffer. */
function plainFrame(plain: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(HEAD_BYTES + plain.length + 100).subarray(50, 50 + HEAD_BYTES + plain.length)
  const runs = [{ offset: 0, lengthBytes: plain.length, isZero: false }]
  encodeFrameHeadInto(frame, { spanStart: 0, plainBytes: plain.length, runs, codec: Codec.none })
  frame.set(plain, HEAD_BYTES)
  return frame
}

const text = (seed: number): Uint8Array => Buffer.from(`${seed} sheep `.repeat(40_000)).subarray(0, SLICE_BYTES)

describe('a pool of threads', () => {
  it.each([
    ['none', Codec.none, 1],
    ['lzo', Codec.lzo, 3],
  ])('encodes as one thread does, codec %s', async (_, codec, threadCount) => {
    const threads = await readyPool(codec, threadCount)
    const slices = Array.from({ length: 40 }, (_, index) => (index % 3 === 0 ? randomBytes(SLICE_BYTES) : text(index)))
    const encoder = new FrameEncoder(codec, 'gmac')
    const frames = await Promise.all(slices.map((plain) => threads.encode(plainFrame(plain), HEAD_BYTES)))
    for (const [index, plain] of slices.entries()) {
      const wanted = plainFrame(plain)
      expect(Buffer.compare(frames[index]!, wanted.subarray(0, encoder.encode(wanted, HEAD_BYTES)))).toBe(0)
    }
  })

  it('moves the buffers instead of copying them', async () => {
    const threads = await readyPool(Codec.none, 1)
    const frame = plainFrame(text(1))
    const { byteLength } = frame.buffer
    const encoded = threads.encode(frame, HEAD_BYTES)
    expect(frame.buffer.byteLength).toBe(0)
    expect((await encoded).buffer.byteLength).toBe(byteLength)
  })

  it('fails the frames of a thread that fails, and goes on without it', async () => {
    const threads = await readyPool(Codec.lzo, 1)
    const tooLong = plainFrame(new Uint8Array(1_048_577))
    await expect(threads.encode(tooLong, HEAD_BYTES)).rejects.toThrow('expected at most 1048576')
    expect(threads.frameCount).toBe(1)
    const frame = plainFrame(text(2))
    expect((await threads.encode(frame, HEAD_BYTES)).length).toBeLessThan(SLICE_BYTES / 10)
    expect(frame.buffer.byteLength).toBeGreaterThan(0)
  })
})
