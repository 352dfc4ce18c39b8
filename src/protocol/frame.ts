import { MAX_SEAL_BYTES } from './trust.ts'

/**
 * A frame: one slice as it goes over the wire (big-endian).
 *
 *      0   1  codec: 0 none, 1 LZO1X, 2 zstd
 *      1   1  0
 *      2   2  number of runs, 1 to 512
 *      4   4  plain bytes: sum of the data runs' lengths
 *      8   8  span start: the image offset where the slice before ended
 *     16  32  digest over bytes 2..15, the runs, and the plain data: see `DigestKind`
 *     48  16n runs, ascending, not overlapping: offset (8), kind (1: 0 data, 1 zero) and length (7)
 *      …      payload: the plain data, encoded by the codec
 *
 * The slice covers its span: from the span's start to the end of its last run. What lies in the span and in no run is a hole.
 */
export const FRAME_HEADER_BYTES = 48
export const RUN_BYTES = 16

/** Most runs of a frame: a slice of 1 MiB in single pages, and as many zero runs between. */
export const MAX_RUN_COUNT = 512

/** Bytes 2..15 are under the digest; the codec is not, so that the digest names the content alone. */
export const DIGEST_COVERS_FROM = 2
export const DIGEST_OFFSET = 16
export const DIGEST_BYTES = 32

export const Codec = { none: 0, lzo: 1, zstd: 2 } as const
export type Codec = (typeof Codec)[keyof typeof Codec]

export const CODEC_NAMES: Readonly<Record<Codec, string>> = { 0: 'none', 1: 'lzo', 2: 'zstd' }

export const isCodec = (value: number): value is Codec => value === 0 || value === 1 || value === 2

/** One run of a slice: `lengthBytes` image bytes at `offset`, which are data of the payload, or zeros. */
export interface Run {
  readonly offset: number
  readonly lengthBytes: number
  readonly isZero: boolean
}

export interface FrameHeader {
  readonly codec: Codec
  readonly spanStart: number
  readonly plainBytes: number
  readonly runs: readonly Run[]
  /** A view of the frame: 32 bytes. */
  readonly digest: Uint8Array
  /** Where the payload begins in the frame; it ends with the frame. */
  readonly payloadOffset: number
}

export type FrameFault = 'frame-short' | 'frame-codec' | 'frame-runs' | 'frame-lengths'

/** Bytes before the payload of a frame with that many runs. */
export const frameHeadBytes = (runCount: number): number => FRAME_HEADER_BYTES + RUN_BYTES * runCount

/** Runs that a slice of that size may have: every page a run of its own, and a zero run before each. */
export const maxRunCount = (sliceBytes: number): number => Math.min(MAX_RUN_COUNT, sliceBytes / 2048)

/** Most bytes that a frame of a slice can take: as many runs as it may have, stored raw. */
export const maxFrameBytes = (sliceBytes: number): number => frameHeadBytes(maxRunCount(sliceBytes)) + sliceBytes

/** The same as it travels: signed and encrypted where the session is. */
export const maxSealedFrameBytes = (sliceBytes: number): number => maxFrameBytes(sliceBytes) + MAX_SEAL_BYTES

const HIGH = 4_294_967_296

function putLong(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / HIGH))
  view.setUint32(at + 4, value >>> 0)
}

/**
 * Writes the head, header and runs, to the start of `into`, but for the digest: its 32 bytes stay as they are.
 * @throws RangeError when there are no runs or more than 512
 */
export function encodeFrameHeadInto(
  into: Uint8Array,
  frame: {
    readonly codec: Codec
    readonly spanStart: number
    readonly plainBytes: number
    readonly runs: readonly Run[]
  },
): void {
  if (frame.runs.length === 0 || frame.runs.length > MAX_RUN_COUNT) {
    throw new RangeError(`A frame must have 1 to ${MAX_RUN_COUNT} runs, got ${frame.runs.length}`)
  }
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength)
  into[0] = frame.codec
  into[1] = 0
  view.setUint16(2, frame.runs.length)
  view.setUint32(4, frame.plainBytes)
  putLong(view, 8, frame.spanStart)
  let at = FRAME_HEADER_BYTES
  for (const run of frame.runs) {
    putLong(view, at, run.offset)
    putLong(view, at + 8, run.lengthBytes)
    if (run.isZero) into[at + 8] = 1
    at += RUN_BYTES
  }
}

/**
 * Reads the head of a frame and checks it against itself: lengths, order, sums, safe integers. Never throws for what is in the
 * bytes; the digest, and whether the image is so large, are for the caller to check.
 * @param sliceBytes the session's slice size: no frame may hold more plain bytes
 */
export function decodeFrame(frame: Uint8Array, sliceBytes: number): FrameHeader | FrameFault {
  if (frame.length < FRAME_HEADER_BYTES) return 'frame-short'
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  const codec = frame[0]!
  if (!isCodec(codec) || frame[1] !== 0) return 'frame-codec'
  const runCount = view.getUint16(2)
  const payloadOffset = frameHeadBytes(runCount)
  if (runCount === 0 || runCount > maxRunCount(sliceBytes) || payloadOffset > frame.length) return 'frame-runs'
  const plainBytes = view.getUint32(4)
  const spanStart = view.getUint32(8) * HIGH + view.getUint32(12)
  const payloadBytes = frame.length - payloadOffset
  if (plainBytes > sliceBytes || !Number.isSafeInteger(spanStart)) return 'frame-lengths'
  if (codec === Codec.none ? payloadBytes !== plainBytes : payloadBytes >= plainBytes) return 'frame-lengths'
  const runs: Run[] = []
  let end = spanStart
  let sum = 0
  for (let at = FRAME_HEADER_BYTES; at < payloadOffset; at += RUN_BYTES) {
    const offset = view.getUint32(at) * HIGH + view.getUint32(at + 4)
    const kind = frame[at + 8]!
    const lengthBytes = (view.getUint32(at + 8) & 0xffffff) * HIGH + view.getUint32(at + 12)
    if (kind > 1 || offset < end || lengthBytes === 0 || offset + lengthBytes > Number.MAX_SAFE_INTEGER)
      return 'frame-runs'
    runs.push({ offset, lengthBytes, isZero: kind === 1 })
    end = offset + lengthBytes
    if (kind === 0) sum += lengthBytes
  }
  if (sum !== plainBytes) return 'frame-lengths'
  return {
    codec,
    spanStart,
    plainBytes,
    runs,
    digest: frame.subarray(DIGEST_OFFSET, FRAME_HEADER_BYTES),
    payloadOffset,
  }
}
