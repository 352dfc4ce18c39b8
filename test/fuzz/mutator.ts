import type { Random } from '../../src/random.ts'

/** Values that sit at the edges of fields. */
const EDGES = [0, 1, 0x7f, 0x80, 0xfe, 0xff]

/** Longest input that mutation makes, bytes. */
const MAX_INPUT_BYTES = 4096

/** Most changes of one input, and most bytes that one of them adds. */
const MAX_CHANGES = 16
const MAX_PIECE_BYTES = 64

/** Where an input is changed: millions of them are made, so each is copied but twice. */
const work = new Uint8Array(MAX_INPUT_BYTES + MAX_CHANGES * MAX_PIECE_BYTES)

/** A changed copy of one input of the corpus, or of two: bits and bytes changed, pieces put in, taken out, repeated, exchanged. */
export function mutate(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  const origin = draw(random, corpus)
  work.set(origin)
  let lengthBytes = origin.length
  for (let changes = 1 + below(random, random() < 0.1 ? MAX_CHANGES : 4); changes > 0; changes--) {
    lengthBytes = change(random, corpus, lengthBytes)
  }
  return work.slice(0, Math.min(lengthBytes, MAX_INPUT_BYTES))
}

/** Changes the first `lengthBytes` of `work`. @returns how many there are then */
function change(random: Random, corpus: readonly Uint8Array[], lengthBytes: number): number {
  const at = below(random, lengthBytes + 1)
  switch (below(random, 8)) {
    case 0:
      if (at < lengthBytes) work[at]! ^= 1 << below(random, 8)
      return lengthBytes
    case 1:
      if (at < lengthBytes) work[at] = below(random, 256)
      return lengthBytes
    case 2:
      if (at < lengthBytes) work[at] = EDGES[below(random, EDGES.length)]!
      return lengthBytes
    case 3:
      work.fill(EDGES[below(random, EDGES.length)]!, at, Math.min(lengthBytes, at + 1 + below(random, 8)))
      return lengthBytes
    case 4:
      return splice(lengthBytes, at, 1 + below(random, 8), 0)
    case 5: {
      const putBytes = 1 + below(random, 8)
      const changedBytes = splice(lengthBytes, at, 0, putBytes)
      for (let index = at; index < at + putBytes; index++) work[index] = below(random, 256)
      return changedBytes
    }
    case 6: {
      const from = below(random, lengthBytes + 1)
      const piece = work.slice(from, Math.min(lengthBytes, from + 1 + below(random, MAX_PIECE_BYTES)))
      const changedBytes = splice(lengthBytes, at, 0, piece.length)
      work.set(piece, at)
      return changedBytes
    }
    default: {
      const other = draw(random, corpus)
      const from = below(random, other.length + 1)
      const piece = other.subarray(from, from + 1 + below(random, MAX_PIECE_BYTES))
      const changedBytes = splice(lengthBytes, at, below(random, MAX_PIECE_BYTES), piece.length)
      work.set(piece, at)
      return changedBytes
    }
  }
}

/** Takes bytes out of the first `lengthBytes` of `work`, at `at`, and makes room for others. @returns how many there are then */
function splice(lengthBytes: number, at: number, cutBytes: number, putBytes: number): number {
  const end = Math.min(lengthBytes, at + cutBytes)
  work.copyWithin(at + putBytes, end, lengthBytes)
  return at + putBytes + lengthBytes - end
}

function draw(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  return corpus[below(random, corpus.length)]!
}

function below(random: Random, limit: number): number {
  return Math.floor(random() * limit)
}
