import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { gmac, sha256 } from '../../src/digest.ts'

const HALF = 16
const zeros = Buffer.alloc(HALF)

/** Multiplies in GF(2^128) as GCM counts its bits: NIST SP 800-38D, algorithm 1. */
function multiply(x: bigint, y: bigint): bigint {
  let [z, v] = [0n, y]
  for (let bit = 127n; bit >= 0n; bit--) {
    if ((x >> bit) & 1n) z ^= v
    v = v & 1n ? (v >> 1n) ^ (0xe1n << 120n) : v >> 1n
  }
  return z
}

const toNumber = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)

/** AES-128 under the key of zeros of the block of zeros, and of the first counter block: test cases 1 and 2 of the GCM specification. */
const HASH_KEY = 0x66e94bd4ef8a2c3b884cfa59ca342b2en
const TAG_MASK = 0x58e2fccefa7e3061367f1d57a4e7455an

/** GMAC by the book: GHASH over the padded bytes and their length in bits, and the mask. */
function reference(bytes: Uint8Array): Buffer {
  let sum = 0n
  for (let at = 0; at < bytes.length; at += HALF) {
    sum = multiply(sum ^ toNumber(Buffer.concat([bytes.subarray(at, at + HALF), zeros]).subarray(0, HALF)), HASH_KEY)
  }
  const tag = multiply(sum ^ (BigInt(bytes.length * 8) << 64n), HASH_KEY) ^ TAG_MASK
  return Buffer.concat([Buffer.from(tag.toString(16).padStart(32, '0'), 'hex'), zeros])
}

describe('GMAC', () => {
  it('of nothing is the tag of test case 1 of the GCM specification', () => {
    expect(Buffer.from(gmac()).toString('hex')).toBe(`58e2fccefa7e3061367f1d57a4e7455a${'0'.repeat(32)}`)
  })

  it.each([1, 15, 16, 17, 48, 1000])('of %d bytes is as by the book, in one piece or in several', (lengthBytes) => {
    const bytes = Buffer.from(Array.from({ length: lengthBytes }, (_, at) => (at * 151 + 7) & 0xff))
    const wanted = reference(bytes)
    expect(Buffer.from(gmac(bytes))).toEqual(wanted)
    const cut = Math.floor(lengthBytes / 3)
    const pieces = [bytes.subarray(0, cut), bytes.subarray(cut, cut + 1), bytes.subarray(cut + 1)]
    expect(Buffer.from(gmac(...pieces))).toEqual(wanted)
  })

  it('is another for every bit that changes, and for two blocks that change places', () => {
    const bytes = Buffer.from(Array.from({ length: 64 }, (_, at) => at))
    const seen = new Set([Buffer.from(gmac(bytes)).toString('hex')])
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const other = Buffer.from(bytes)
      other[bit >> 3]! ^= 1 << (bit & 7)
      seen.add(Buffer.from(gmac(other)).toString('hex'))
    }
    seen.add(Buffer.from(gmac(bytes.subarray(16, 32), bytes.subarray(0, 16), bytes.subarray(32))).toString('hex'))
    seen.add(Buffer.from(gmac(bytes, Buffer.alloc(1))).toString('hex'))
    expect(seen.size).toBe(bytes.length * 8 + 3)
  })
})

it('SHA-256 is that of all parts one after the other', () => {
  const parts = ['a', '', 'bc'].map((text) => Buffer.from(text))
  expect(Buffer.from(sha256(...parts))).toEqual(createHash('sha256').update('abc').digest())
})
