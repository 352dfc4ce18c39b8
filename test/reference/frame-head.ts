import type { Codec, Run } from '../../src/protocol/index.ts'

/** The head of a frame, digest all zero, in BigInt arithmetic, as docs/protocol.md lays it out. */
export function encodeFrameHeadReference(frame: {
  readonly codec: Codec
  readonly spanStart: number
  readonly plainBytes: number
  readonly runs: readonly Run[]
}): Uint8Array {
  const view = new DataView(new ArrayBuffer(48 + 16 * frame.runs.length))
  view.setUint8(0, frame.codec)
  view.setUint16(2, frame.runs.length)
  view.setUint32(4, frame.plainBytes)
  view.setBigUint64(8, BigInt(frame.spanStart))
  frame.runs.forEach((run, index) => {
    view.setBigUint64(48 + 16 * index, BigInt(run.offset))
    view.setBigUint64(56 + 16 * index, (run.isZero ? 1n << 56n : 0n) + BigInt(run.lengthBytes))
  })
  return new Uint8Array(view.buffer)
}
