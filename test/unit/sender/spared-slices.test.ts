import { describe, expect, it } from 'vitest'
import type { SliceRange } from '../../../src/protocol/index.ts'
import { seededRandom } from '../../../src/random.ts'
import { SparedSlices } from '../../../src/sender/machine/spared-slices.ts'

const ALL = { has: (): boolean => true }
const range = (first: number, end: number): SliceRange => ({ first, count: end - first })

/** The slices below `below` that are sent. */
function sentOf(spared: SparedSlices, below: number): number[] {
  const sent: number[] = []
  for (let slice = spared.passOver(0, ALL); slice < below; slice = spared.passOver(slice + 1, ALL)) sent.push(slice)
  return sent
}

const upTo = (end: number, from = 0): number[] => Array.from({ length: end - from }, (_, index) => from + index)

describe('SparedSlices', () => {
  it('spares none before anybody joins, nor once one has joined that has nothing', () => {
    const spared = new SparedSlices(true)
    expect(sentOf(spared, 5)).toEqual(upTo(5))
    spared.note([range(0, 9)])
    spared.note([])
    spared.note([range(0, 9)])
    expect(sentOf(spared, 9)).toEqual(upTo(9))
    expect(spared.count).toBe(0)
  })

  it('spares what all have', () => {
    const spared = new SparedSlices(true)
    spared.note([range(0, 10), range(12, 20)])
    spared.note([range(3, 15), range(18, 30)])
    spared.note([range(0, 19)])
    expect(sentOf(spared, 20)).toEqual([0, 1, 2, 10, 11, 15, 16, 17, 19])
    expect(spared.count).toBe(11)
  })

  it('goes no further than what was read', () => {
    const spared = new SparedSlices(true)
    spared.note([range(0, 100)])
    expect(spared.passOver(0, { has: (slice) => slice < 16 })).toBe(16)
  })

  it('spares none of a source that cannot be read again', () => {
    const spared = new SparedSlices(false)
    spared.note([range(0, 100)])
    expect(spared.passOver(0, ALL)).toBe(0)
  })

  it('never spares what one lacks, whatever ranges there are, in any order, overlapping or many', () => {
    const random = seededRandom(5)
    for (let round = 0; round < 100; round++) {
      const spared = new SparedSlices(true)
      const needed = new Set<number>()
      for (let receiver = 0; receiver < 4; receiver++) {
        const ranges = Array.from({ length: Math.floor(random() * 400) }, () => {
          const first = Math.floor(random() * 2000)
          return range(first, first + 1 + Math.floor(random() * 60))
        })
        const has = new Set(ranges.flatMap(({ first, count }) => upTo(first + count, first)))
        for (const slice of upTo(2100)) if (!has.has(slice)) needed.add(slice)
        spared.note(ranges)
      }
      const sent = new Set(sentOf(spared, 2100))
      for (const slice of needed) expect(sent.has(slice), `round ${round}, slice ${slice}`).toBe(true)
    }
  })

  it('keeps the longest of too many ranges', () => {
    const spared = new SparedSlices(true)
    const many = upTo(1000).map((index) => range(10 * index, 10 * index + (index < 700 ? 1 : 5)))
    spared.note(many)
    const sent = new Set(sentOf(spared, 10_000))
    expect(10_000 - sent.size).toBe(256 * 5)
  })
})
