import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../src/random.ts'
import { QuietRanges } from '../../../src/receiver/machine/quiet-ranges.ts'

describe('QuietRanges', () => {
  test('keeps the longest quiet of overlapping ranges, as an array of times does', () => {
    const random = seededRandom(11)
    const ranges = new QuietRanges()
    const until = Array.from({ length: 200 }, () => 0)
    for (let nowUs = 0; nowUs < 100; nowUs++) {
      const first = Math.floor(random() * 180)
      const end = first + 1 + Math.floor(random() * 20)
      const untilUs = nowUs + Math.floor(random() * 60)
      ranges.add(nowUs, first, end, untilUs)
      for (let slice = first; slice < end; slice++) until[slice] = Math.max(until[slice]!, untilUs)
      for (let slice = 0; slice < 190; slice++) {
        const loud = until.findIndex((time, index) => index >= slice && time <= nowUs)
        expect(ranges.nextLoud(nowUs, slice)).toBe(loud === -1 ? 200 : loud)
        const quiet = until.findIndex((time, index) => index >= slice && time > nowUs)
        expect(ranges.nextQuiet(nowUs, slice, 190)).toBe(quiet === -1 ? 190 : Math.min(190, quiet))
      }
      const next = Math.min(...until.slice(0, 100).filter((time) => time > nowUs))
      expect(ranges.nextExpiryUs(nowUs, 100)).toBe(next)
    }
  })

  test('wakes one slice of a range and no other', () => {
    const ranges = new QuietRanges()
    ranges.add(0, 10, 20, 100)
    ranges.wake(15)
    expect(ranges.nextLoud(0, 10)).toBe(15)
    expect(ranges.nextLoud(0, 16)).toBe(20)
  })

  test('ends all ranges by a limit', () => {
    const ranges = new QuietRanges()
    ranges.add(0, 0, 5, 1000)
    ranges.limit(50)
    expect(ranges.nextLoud(49, 0)).toBe(5)
    expect(ranges.nextLoud(50, 0)).toBe(0)
  })

  test('stays small: beyond its bound it is quiet where it need not be, never loud where it must not', () => {
    const ranges = new QuietRanges()
    for (let index = 0; index < 10_000; index++) ranges.add(0, index * 3, index * 3 + 1, 1000 + (index % 7))
    for (let index = 0; index < 10_000; index += 97) expect(ranges.nextLoud(0, index * 3)).toBeGreaterThan(index * 3)
    expect(ranges.nextLoud(2000, 0)).toBe(0)
  })
})
