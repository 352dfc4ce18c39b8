import { expect, it } from 'vitest'
import { secureRandom } from '../../../src/io/index.ts'
import { drawId, formatId } from '../../../src/protocol/index.ts'

it('draws numbers from 0 to below 1 that have 32 random bits each', () => {
  const words = Array.from({ length: 1000 }, () => secureRandom() * 2 ** 32)
  for (const word of words) expect(word >>> 0).toBe(word)
  // Each bit is set somewhere, and missing somewhere.
  expect(words.reduce((all, word) => (all | word) >>> 0, 0)).toBe(2 ** 32 - 1)
  expect(words.reduce((all, word) => (all & word) >>> 0, 2 ** 32 - 1)).toBe(0)
})

it('makes ids that are all different', () => {
  const ids = Array.from({ length: 1000 }, () => formatId(drawId(secureRandom)))
  expect(new Set(ids).size).toBe(1000)
})
