import { describe, expect, it } from 'vitest'
import { RangeList, type ImageRange } from '../../../src/deployer/extents.ts'

const listOf = (
  maxCount: number,
  ...ranges: readonly (readonly [offset: number, end: number])[]
): readonly ImageRange[] => {
  const list = new RangeList(maxCount)
  for (const [offset, end] of ranges) list.add({ offset, lengthBytes: end - offset })
  return list.ranges
}

describe('a list of ranges', () => {
  it('has those that touch as one', () => {
    const ranges = listOf(10, [0, 4], [4, 8], [12, 16], [16, 17])
    expect(ranges).toEqual([
      { offset: 0, lengthBytes: 8 },
      { offset: 12, lengthBytes: 5 },
    ])
  })

  it.each([2, 3, 4, 5, 64])('of at most %d covers all that was added, and nothing before or behind', (maxCount) => {
    const added = Array.from({ length: 1000 }, (_, index) => [10 * index + 3, 10 * index + 5] as const)
    const ranges = listOf(maxCount, ...added)
    expect(ranges.length).toBeLessThanOrEqual(maxCount)
    for (const [offset, end] of added) {
      const isIn = (range: ImageRange): boolean => range.offset <= offset && range.offset + range.lengthBytes >= end
      expect(ranges.filter(isIn)).toHaveLength(1)
    }
    const ends = ranges.flatMap(({ offset, lengthBytes }) => [offset, offset + lengthBytes])
    expect(ends).toEqual(ends.toSorted((one, other) => one - other))
    expect([ends[0], ends.at(-1)]).toEqual([3, 9995])
  })
})
