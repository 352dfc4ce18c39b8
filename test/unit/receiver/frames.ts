import { createCipheriv, createHash } from 'node:crypto'
import {
  Codec,
  encodeFrameHeadInto,
  frameHeadBytes,
  RootDigest,
  type DigestKind,
  type End,
  type Run,
} from '../../../src/protocol/index.ts'

const hash = (...parts: readonly Uint8Array[]): Uint8Array => createHash('sha256').update(Buffer.concat(parts)).digest()

/** GMAC under a key and a nonce of zeros, with as many zeros behind it. */
function gmac(...parts: readonly Uint8Array[]): Uint8Array {
  const cipher = createCipheriv('aes-128-gcm', new Uint8Array(16), new Uint8Array(12)).setAAD(Buffer.concat(parts))
  cipher.final()
  return Buffer.concat([cipher.getAuthTag(), new Uint8Array(16)])
}

export const data = (offset: number, lengthBytes: number): Run => ({ offset, lengthBytes, isZero: false })
export const zeros = (offset: number, lengthBytes: number): Run => ({ offset, lengthBytes, isZero: true })

/** A frame made by hand: each data run is filled with `fill`. `payload` takes the place of the encoded data. */
export function frameOf(
  spanStart: number,
  runs: readonly Run[],
  fill: number,
  options: { codec?: Codec; digestKind?: DigestKind; payload?: (plain: Uint8Array) => Uint8Array } = {},
): Uint8Array {
  const plainBytes = runs.reduce((sum, run) => sum + (run.isZero ? 0 : run.lengthBytes), 0)
  const plain = new Uint8Array(plainBytes).fill(fill)
  const payload = options.payload?.(plain) ?? plain
  const headBytes = frameHeadBytes(runs.length)
  const frame = new Uint8Array(headBytes + payload.length)
  encodeFrameHeadInto(frame, { codec: options.codec ?? Codec.none, spanStart, plainBytes, runs })
  const covered = [frame.subarray(2, 16), frame.subarray(48, headBytes), plain]
  frame.set(options.digestKind === 'sha256' ? hash(...covered) : gmac(...covered), 16)
  frame.set(payload, headBytes)
  return frame
}

/** The end of an image that these frames are all of. */
export function endOf(imageBytes: number, frames: readonly Uint8Array[]): End {
  const root = new RootDigest(hash)
  frames.forEach((frame, index) => root.add(index, frame.subarray(16, 48)))
  const rootDigest = root.finish(imageBytes, frames.length)
  return { kind: 'end', sliceCount: frames.length, imageBytes, dataBytes: 0, rootDigest, isClosing: false }
}
