import type { Random } from '../../src/random.ts'

/** Values that sit at the edges of fields. */
const EDGES = [0, 1, 0x7f, 0x80, 0xfe, 0xff]

/** Longest input that mutation makes, bytes. */
const MAX_INPUT_BYTES = 4096

/** A changed copy of one input of the corpus, or of two: bits and bytes changed, pieces put in, taken out, repeated, exchanged. */
export function mutate(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  const below = (limit: number): number => Math.floor(random() * limit)
  const draw = (): Uint8Array => corpus[below(corpus.length)]!
  let bytes = Uint8Array.from(draw())
  for (let changes = 1 + below(random() < 0.1 ? 16 : 4); changes > 0; changes--) {
    const at = below(bytes.length + 1)
    switch (below(8)) {
      case 0:
        if (at < bytes.length) bytes[at]! ^= 1 << below(8)
        break
      case 1:
        if (at < bytes.length) bytes[at] = below(256)
        break
      case 2:
        if (at < bytes.length) bytes[at] = EDGES[below(EDGES.length)]!
        break
      case 3:
        bytes.fill(EDGES[below(EDGES.length)]!, at, at + 1 + below(8))
        break
      case 4:
        bytes = splice(bytes, at, 1 + below(8), new Uint8Array(0))
        break
      case 5:
        bytes = splice(
          bytes,
          at,
          0,
          Uint8Array.from({ length: 1 + below(8) }, () => below(256)),
        )
        break
      case 6: {
        const from = below(bytes.length + 1)
        bytes = splice(bytes, at, 0, bytes.slice(from, from + 1 + below(64)))
        break
      }
      default: {
        const other = draw()
        const from = below(other.length + 1)
        bytes = splice(bytes, at, below(64), other.subarray(from, from + 1 + below(64)))
      }
    }
  }
  return bytes.subarray(0, MAX_INPUT_BYTES)
}

function splice(bytes: Uint8Array, at: number, cutBytes: number, put: Uint8Array): Uint8Array<ArrayBuffer> {
  const end = Math.min(bytes.length, at + cutBytes)
  const result = new Uint8Array(at + put.length + bytes.length - end)
  result.set(bytes.subarray(0, at))
  result.set(put, at)
  result.set(bytes.subarray(end), at + put.length)
  return result
}
