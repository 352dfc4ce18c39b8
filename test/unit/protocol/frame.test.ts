import { describe, expect, it } from 'vitest'
import {
  Codec,
  CODEC_NAMES,
  decodeFrame,
  DIGEST_OFFSET,
  encodeFrameHeadInto,
  FRAME_HEADER_BYTES,
  frameHeadBytes,
  isCodec,
  MAX_RUN_COUNT,
  MAX_SLICE_BYTES,
  maxFrameBytes,
  maxRunCount,
  MIN_SLICE_BYTES,
  type Run,
} from '../../../src/protocol/index.ts'
import { encodeFrameHeadReference } from '../../reference/frame-head.ts'

const SLICE_BYTES = 16_384

const data = (offset: number, lengthBytes: number): Run => ({ offset, lengthBytes, isZero: false })
const zeros = (offset: number, lengthBytes: number): Run => ({ offset, lengthBytes, isZero: true })

interface Parts {
  readonly codec?: Codec
  readonly spanStart?: number
  readonly runs: readonly Run[]
  readonly plainBytes?: number
  readonly payloadBytes?: number
}

function frameOf({ codec = Codec.none, spanStart = 0, runs, ...lengths }: Parts): Uint8Array {
  const plainBytes = lengths.plainBytes ?? runs.reduce((sum, run) => sum + (run.isZero ? 0 : run.lengthBytes), 0)
  const frame = new Uint8Array(frameHeadBytes(runs.length) + (lengths.payloadBytes ?? plainBytes))
  encodeFrameHeadInto(frame, { codec, spanStart, plainBytes, runs })
  return frame
}

const decode = (frame: Uint8Array): unknown => decodeFrame(frame, SLICE_BYTES)

const RUNS = [data(8192, 4096), zeros(12_288, 2 ** 40), data(2 ** 41, 100)]

describe('a frame', () => {
  it('has the head of the reference', () => {
    const frame = frameOf({ codec: Codec.lzo, spanStart: 2 ** 33 + 5, runs: RUNS, payloadBytes: 0 })
    const reference = { codec: Codec.lzo, spanStart: 2 ** 33 + 5, runs: RUNS, plainBytes: 4196 }
    expect(frame).toEqual(encodeFrameHeadReference(reference))
  })

  it('comes back as it went', () => {
    const frame = frameOf({ codec: Codec.zstd, spanStart: 4096, runs: RUNS, payloadBytes: 77 })
    frame.fill(0xdd, DIGEST_OFFSET, FRAME_HEADER_BYTES)
    expect(decode(frame)).toEqual({
      codec: Codec.zstd,
      spanStart: 4096,
      plainBytes: 4196,
      runs: RUNS,
      digest: new Uint8Array(32).fill(0xdd),
      payloadOffset: frame.length - 77,
    })
  })

  it('is read inside a larger buffer', () => {
    const frame = frameOf({ runs: RUNS })
    const buffer = new Uint8Array(frame.length + 20)
    buffer.set(frame, 13)
    expect(decode(buffer.subarray(13, 13 + frame.length))).toMatchObject({ runs: RUNS })
  })

  it('leaves the digest to the caller', () => {
    const into = new Uint8Array(64).fill(0xcc)
    encodeFrameHeadInto(into, { codec: Codec.none, spanStart: 0, plainBytes: 0, runs: [zeros(0, 1)] })
    expect(into.subarray(DIGEST_OFFSET, FRAME_HEADER_BYTES)).toEqual(new Uint8Array(32).fill(0xcc))
    expect(into.subarray(0, DIGEST_OFFSET)).not.toContain(0xcc)
  })

  it('may hold zeros alone', () => {
    expect(decode(frameOf({ runs: [zeros(0, 2 ** 50)] }))).toMatchObject({ plainBytes: 0, payloadOffset: 64 })
  })

  it('may be as long as the slice size lets it', () => {
    const runs = Array.from({ length: maxRunCount(SLICE_BYTES) }, (_, index) =>
      index % 2 === 0 ? zeros(index * 4096, 4096) : data(index * 4096, 4096),
    )
    const frame = frameOf({ runs })
    expect(frame).toHaveLength(maxFrameBytes(SLICE_BYTES))
    expect(decode(frame)).toMatchObject({ runs })
  })

  it.each([0, MAX_RUN_COUNT + 1])('is not made of %i runs', (length) => {
    const runs = Array.from({ length }, (_, index) => zeros(index, 1))
    const into = new Uint8Array(frameHeadBytes(length))
    expect(() => encodeFrameHeadInto(into, { codec: 0, spanStart: 0, plainBytes: 0, runs })).toThrow(RangeError)
  })
})

describe('what is no frame', () => {
  const sound = frameOf({ runs: [data(0, 4096)] })

  /** A sound frame, patched by a DataView. */
  function patched(patch: (view: DataView) => void): Uint8Array {
    const frame = sound.slice()
    patch(new DataView(frame.buffer))
    return frame
  }

  it.each([0, 1, FRAME_HEADER_BYTES - 1])('is short: %i bytes', (length) => {
    expect(decode(sound.subarray(0, length))).toBe('frame-short')
  })

  it.each([
    ['an unknown codec', patched((view) => view.setUint8(0, 3))],
    ['a byte that must be 0', patched((view) => view.setUint8(1, 1))],
  ])('has %s', (_, frame) => {
    expect(decode(frame)).toBe('frame-codec')
  })

  const many = Array.from({ length: maxRunCount(SLICE_BYTES) + 1 }, (_, index) => zeros(2 * index, 1))
  it.each([
    ['no runs', patched((view) => view.setUint16(2, 0))],
    ['more runs than the slice size allows', frameOf({ runs: many })],
    ['more runs than bytes', sound.subarray(0, FRAME_HEADER_BYTES + 15)],
    ['a run before its span', frameOf({ spanStart: 1, runs: [data(0, 4096)] })],
    ['overlapping runs', frameOf({ runs: [data(0, 4096), zeros(4095, 2)] })],
    ['runs that go back', frameOf({ runs: [data(4096, 4096), data(0, 4096)] })],
    ['an empty run', frameOf({ runs: [data(0, 4096), data(8192, 0)] })],
    ['an unknown kind of run', patched((view) => view.setUint8(56, 2))],
    ['a run at an unsafe offset', patched((view) => view.setUint32(48, 0x20_0000))],
    ['a run that ends at an unsafe offset', frameOf({ runs: [zeros(2 ** 53 - 2, 2)] })],
    ['a run of unsafe length', frameOf({ runs: [zeros(0, 2 ** 55)] })],
  ])('has %s', (_, frame) => {
    expect(decode(frame)).toBe('frame-runs')
  })

  it.each([
    ['more data than a slice', frameOf({ runs: [data(0, SLICE_BYTES + 1)] })],
    ['a raw payload that is too long', frameOf({ runs: [data(0, 4096)], payloadBytes: 4097 })],
    ['a raw payload that is too short', frameOf({ runs: [data(0, 4096)], payloadBytes: 4095 })],
    ['a payload that did not shrink', frameOf({ codec: Codec.lzo, runs: [data(0, 4096)] })],
    ['a payload of nothing', frameOf({ codec: Codec.lzo, runs: [zeros(0, 4096)] })],
    ['less data in its runs than it says', frameOf({ runs: [data(0, 4095)], plainBytes: 4096 })],
    ['more data in its runs than it says', frameOf({ runs: [data(0, 4097)], plainBytes: 4096 })],
    ['a span that starts at an unsafe offset', patched((view) => view.setUint32(8, 0x20_0000))],
  ])('has %s', (_, frame) => {
    expect(decode(frame)).toBe('frame-lengths')
  })
})

it('names its codecs', () => {
  expect([-1, 0, 1, 2, 3, 1.5].map(isCodec)).toEqual([false, true, true, true, false, false])
  expect(Object.values(Codec).map((codec) => CODEC_NAMES[codec])).toEqual(Object.keys(Codec))
})

it('needs 24 bits for the length of the longest frame, 16 for its runs', () => {
  expect(maxFrameBytes(MAX_SLICE_BYTES)).toBe(1_048_576 + 48 + 16 * 512)
  expect(maxRunCount(MAX_SLICE_BYTES)).toBe(MAX_RUN_COUNT)
  expect(maxRunCount(MIN_SLICE_BYTES)).toBe(8)
})
