import { describe, expect, it } from 'vitest'
import { spreadOf } from '../../../bench/peers/statistics.ts'

describe('spreadOf', () => {
  it('takes the middle of an odd count, whatever the order', () => {
    expect(spreadOf([9, 10, 1])).toEqual({ median: 9, min: 1, max: 10 })
  })

  it('takes the mean of the two middle ones of an even count', () => {
    expect(spreadOf([100, 1, 4, 2])).toEqual({ median: 3, min: 1, max: 100 })
  })

  it('has no figures of no values', () => {
    expect(spreadOf([])).toEqual({ median: NaN, min: NaN, max: NaN })
  })
})
