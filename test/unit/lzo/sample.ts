import type { Random } from '../../../src/random.ts'

/** Bytes as a disk may hold them: runs, noise, words, short patterns, and repeats from any distance. */
export function sampleBytes(random: Random, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  const below = (limit: number): number => Math.floor(random() * limit)
  for (let at = 0; at < lengthBytes;) {
    const end = Math.min(lengthBytes, at + 1 + below(2 ** (1 + below(12))))
    const kind = below(5)
    const period = 1 + below(kind === 4 ? at + 1 : 20)
    const start = at
    for (; at < end; at++) {
      if (kind === 0) bytes[at] = below(256)
      else if (kind === 1) bytes[at] = 97 + below(4)
      else if (kind === 2) bytes[at] = 0
      else bytes[at] = at >= period && at - start >= (kind === 3 ? period : 0) ? bytes[at - period]! : below(256)
    }
  }
  return bytes
}

export function noise(random: Random, lengthBytes: number): Uint8Array {
  return Uint8Array.from({ length: lengthBytes }, () => random() * 256)
}
