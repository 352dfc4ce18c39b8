import { expect, it } from 'vitest'
import { drawId, formatId, imageTag, isSameId, isZeroId } from '../../../src/protocol/index.ts'
import { seededRandom } from '../../../src/random.ts'

it('draws ids of two words from the random numbers given', () => {
  const [a, b] = [drawId(seededRandom(1)), drawId(seededRandom(1))]
  expect(a).toEqual(b)
  expect(drawId(seededRandom(2))).not.toEqual(a)
  expect(drawId(() => 1 - 2 ** -53)).toEqual({ high: 0xffff_ffff, low: 0xffff_ffff })
})

it('never draws 0', () => {
  expect(isZeroId(drawId(() => 0))).toBe(false)
})

it('formats ids with sixteen digits', () => {
  expect(formatId({ high: 0, low: 1 })).toBe('0000000000000001')
  expect(formatId({ high: 0xffff_ffff, low: 0x8000_0000 })).toBe('ffffffff80000000')
})

it('compares both halves of an id', () => {
  const id = { high: 1, low: 2 }
  expect(isSameId(id, { high: 1, low: 2 })).toBe(true)
  expect(isSameId(id, { high: 1, low: 3 })).toBe(false)
  expect(isSameId(id, { high: 3, low: 2 })).toBe(false)
  expect(isZeroId({ high: 0, low: 0 })).toBe(true)
  expect(isZeroId({ high: 1, low: 0 })).toBe(false)
  expect(isZeroId({ high: 0, low: 1 })).toBe(false)
})

it.each([
  ['', 0x811c_9dc5],
  // FNV-1a over 61 00 and 3a 26 by hand: hash = (hash xor byte) * 16777619 modulo 2^32.
  ['a', fnv1a([0x61, 0x00])],
  ['\u263a', fnv1a([0x3a, 0x26])],
])('tags the image %j', (imageId, tag) => {
  expect(imageTag(imageId)).toBe(tag)
})

function fnv1a(bytes: readonly number[]): number {
  let hash = 0x811c_9dc5n
  for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * 16_777_619n) % 2n ** 32n
  return Number(hash)
}
