import { describe, expect, it } from 'vitest'
import { crc32 } from '../../../src/lzo/crc32.ts'
import { Lzo1x, MAX_BLOCK_BYTES } from '../../../src/lzo/index.ts'
import { seededRandom } from '../../../src/random.ts'
import { noise } from './sample.ts'

const codec = new Lzo1x()
const text = (string: string): Uint8Array => new TextEncoder().encode(string)

function adler32Reference(bytes: Uint8Array): number {
  let a = 1
  let b = 0
  for (const byte of bytes) {
    a = (a + byte) % 65_521
    b = (b + a) % 65_521
  }
  return b * 65_536 + a
}

/** A bit at a time. */
function crc32Reference(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0)
  }
  return ~crc >>> 0
}

describe('adler32', () => {
  it('gives the published values', () => {
    expect(codec.adler32(text(''))).toBe(1)
    expect(codec.adler32(text('Wikipedia'))).toBe(0x11e6_0398)
  })

  it('agrees with the reference at every length about its steps', () => {
    const bytes = noise(seededRandom(1), 12_000)
    for (let lengthBytes = 0; lengthBytes < 70; lengthBytes++)
      expect(codec.adler32(bytes.subarray(0, lengthBytes))).toBe(adler32Reference(bytes.subarray(0, lengthBytes)))
    for (const lengthBytes of [5519, 5520, 5521, 5536, 11_040, 12_000])
      expect(codec.adler32(bytes.subarray(0, lengthBytes))).toBe(adler32Reference(bytes.subarray(0, lengthBytes)))
  })

  it('overflows nowhere, also over more than a block', () => {
    const bytes = new Uint8Array(MAX_BLOCK_BYTES + 100_003).fill(255)
    expect(codec.adler32(bytes)).toBe(adler32Reference(bytes))
  })
})

describe('crc32', () => {
  it('gives the published value', () => {
    expect(crc32(text('123456789'))).toBe(0xcbf4_3926)
  })

  it('agrees with the reference at every length about its steps', () => {
    const bytes = noise(seededRandom(2), 1000)
    for (const lengthBytes of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 997, 998, 999, 1000])
      expect(crc32(bytes.subarray(0, lengthBytes))).toBe(crc32Reference(bytes.subarray(0, lengthBytes)))
  })
})
