import {
  Codec,
  decodeFrame,
  DIGEST_COVERS_FROM,
  DIGEST_OFFSET,
  encodeFrameHeadInto,
  frameHeadBytes,
  maxRunCount,
  RootDigest,
  type End,
  type Run,
} from '../../src/protocol/index.ts'
import { seededRandom } from '../../src/random.ts'
import { sha256 } from '../../src/digest.ts'
import { PAGE_BYTES } from '../../src/sparse/index.ts'

/** An image made from a seed, cut into slices as a sender does it. */
export interface SyntheticImage {
  /** The encoded frame of each slice. Not to be changed. */
  readonly frames: readonly Uint8Array[]
  readonly imageBytes: number
  /** What the sender's machine is told after the last frame. */
  readonly end: Omit<End, 'kind' | 'isClosing'>
}

/**
 * Makes an image.
 * @param spec.dataBytes bytes that are not holes; need not be a multiple of anything
 * @param spec.holeRatio share of pages that are left out, in clumps; default 0
 */
export function synthesise(spec: {
  readonly seed: number
  readonly dataBytes: number
  readonly sliceBytes: number
  readonly holeRatio?: number
}): SyntheticImage {
  const { seed, dataBytes, sliceBytes, holeRatio = 0 } = spec
  const random = seededRandom(seed)
  const frames: Uint8Array[] = []
  const root = new RootDigest(sha256)
  let offset = 0
  let spanStart = 0
  for (let left = dataBytes; left > 0;) {
    const runs: Run[] = []
    let plainBytes = 0
    const limit = Math.min(left, sliceBytes)
    while (plainBytes < limit && runs.length < maxRunCount(sliceBytes)) {
      while (random() < holeRatio) offset += PAGE_BYTES
      const lengthBytes = Math.min(PAGE_BYTES, limit - plainBytes)
      const last = runs.at(-1)
      if (last !== undefined && last.offset + last.lengthBytes === offset) {
        runs[runs.length - 1] = { ...last, lengthBytes: last.lengthBytes + lengthBytes }
      } else {
        runs.push({ offset, lengthBytes, isZero: false })
      }
      offset += lengthBytes
      plainBytes += lengthBytes
    }
    const frame = makeFrame(spanStart, plainBytes, runs, Math.floor(random() * 4_294_967_296))
    root.add(frames.length, frame.subarray(DIGEST_OFFSET, DIGEST_OFFSET + 32))
    frames.push(frame)
    left -= plainBytes
    spanStart = offset
  }
  const rootDigest = root.finish(offset, frames.length)
  return { frames, imageBytes: offset, end: { sliceCount: frames.length, imageBytes: offset, dataBytes, rootDigest } }
}

function makeFrame(spanStart: number, plainBytes: number, runs: readonly Run[], seed: number): Uint8Array {
  const head = frameHeadBytes(runs.length)
  const frame = new Uint8Array(head + plainBytes)
  encodeFrameHeadInto(frame, { codec: Codec.none, spanStart, plainBytes, runs })
  fill(frame.subarray(head), seed)
  frame.set(digestOf(frame), DIGEST_OFFSET)
  return frame
}

/** Noise: xorshift32, a byte at a time is enough to tell any two places apart. */
function fill(into: Uint8Array, seed: number): void {
  let state = seed | 1
  for (let at = 0; at < into.length; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    into[at] = state
  }
}

/** The digest over a raw frame's content: bytes 2 to 15, runs and data. */
const digestOf = (frame: Uint8Array): Uint8Array =>
  sha256(frame.subarray(DIGEST_COVERS_FROM, DIGEST_OFFSET), frame.subarray(DIGEST_OFFSET + 32))

/** What a receiver's driver checks before it writes: the frame is sound and its digest is right. */
export function isSound(frame: Uint8Array, sliceBytes: number): boolean {
  const header = decodeFrame(frame, sliceBytes)
  if (typeof header === 'string') return false
  return Buffer.compare(header.digest, digestOf(frame)) === 0
}
