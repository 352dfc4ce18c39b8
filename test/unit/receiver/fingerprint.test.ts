import { expect, it } from 'vitest'
import { formatFingerprint, parseFingerprint } from '../../../src/receiver/fingerprint.ts'

const ROOT = { digestKind: 'gmac', rootDigest: new Uint8Array(32).fill(0xa7) } as const
const FINGERPRINT = { ...ROOT, imageBytes: 1_099_511_627_777, sliceBytes: 262_144 }
const TEXT = formatFingerprint(FINGERPRINT)

it('is one word, and is read back', () => {
  expect(TEXT).toMatch(/^gmac:(a7){32}:1099511627777:262144:[0-9a-f]{8}$/)
  expect(parseFingerprint(`${TEXT}\n`)).toEqual(FINGERPRINT)
})

it('is refused with any character changed, or left out', () => {
  for (let at = 0; at < TEXT.length; at++) {
    const other = TEXT[at] === '1' ? '2' : '1'
    expect(parseFingerprint(TEXT.slice(0, at) + other + TEXT.slice(at + 1)), `character ${at}`).toBeUndefined()
    expect(parseFingerprint(TEXT.slice(0, at) + TEXT.slice(at + 1)), `without ${at}`).toBeUndefined()
  }
})

it.each([
  ['a slice size that is none', { ...FINGERPRINT, sliceBytes: 100_000 }],
  ['slices that are too large', { ...FINGERPRINT, sliceBytes: 2_097_152 }],
  ['an image size beyond 2^53', { ...FINGERPRINT, imageBytes: 9_007_199_254_740_992 }],
])('is refused with %s', (_, fingerprint) => {
  expect(parseFingerprint(formatFingerprint(fingerprint))).toBeUndefined()
})
