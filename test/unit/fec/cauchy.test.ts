import { expect, it } from 'vitest'
import { parityCoefficient, parityPoint } from '../../../src/fec/cauchy.ts'
import { MAX_SOURCE_SYMBOLS, MAX_SYMBOLS } from '../../../src/fec/limits.ts'
import { invertReference } from '../../reference/reed-solomon.ts'

it('gives every symbol of a slice a point of its own, whatever the number of source symbols', () => {
  for (let sourceCount = 1; sourceCount <= MAX_SOURCE_SYMBOLS; sourceCount++) {
    const points = new Set(Array.from({ length: sourceCount }, (_, c) => c))
    for (let index = sourceCount; index < MAX_SYMBOLS; index++) points.add(parityPoint(index, sourceCount))
    expect(points.size).toBe(MAX_SYMBOLS)
    expect(Math.max(...points)).toBe(255)
  }
})

it('takes the inverse of the sum of two points as coefficient', () => {
  const inverses = Array.from({ length: 255 }, (_, n) => invertReference(n + 1))
  for (let point = 1; point < 256; point++) {
    for (let c = 0; c < MAX_SOURCE_SYMBOLS; c++) {
      if (c !== point) expect(parityCoefficient(point, c)).toBe(inverses[(point ^ c) - 1])
    }
  }
})
