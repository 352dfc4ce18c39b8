import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../src/random.ts'
import { SettledMap } from '../../../src/receiver/machine/settled-map.ts'

describe('SettledMap', () => {
  test('counts each slice once and keeps the low-water mark', () => {
    const map = new SettledMap()
    expect([map.count, map.low]).toEqual([0, 0])
    expect(map.add(1)).toBe(true)
    expect(map.add(1)).toBe(false)
    expect([map.count, map.low]).toEqual([1, 0])
    map.add(0)
    expect([map.count, map.low]).toEqual([2, 2])
    for (let slice = 2; slice < 64; slice++) map.add(slice)
    expect(map.low).toBe(64)
    expect(map.has(63)).toBe(true)
    expect(map.has(64)).toBe(false)
  })

  test('finds gaps and their ends across words, as a plain search does', () => {
    const random = seededRandom(3)
    for (const density of [0.02, 0.5, 0.98]) {
      const map = new SettledMap()
      const plain = Array.from({ length: 700 }, () => false)
      for (let slice = 0; slice < 600; slice++) {
        if (random() >= density) continue
        map.add(slice)
        plain[slice] = true
      }
      expect(map.low).toBe(plain.indexOf(false))
      for (let from = 0; from < 640; from++) {
        expect(map.nextUnsettled(from)).toBe(plain.indexOf(false, from))
        const settled = plain.indexOf(true, from)
        expect(map.nextSettled(from, 650)).toBe(settled === -1 ? 650 : settled)
        const near = Math.min(from + 5, settled === -1 ? Infinity : settled)
        expect(map.nextSettled(from, from + 5)).toBe(near)
      }
    }
  })

  test('answers far behind what it has seen', () => {
    const map = new SettledMap()
    expect(map.nextUnsettled(5_000_000)).toBe(5_000_000)
    expect(map.nextSettled(5_000_000, 6_000_000)).toBe(6_000_000)
    expect(map.has(67_108_863)).toBe(false)
  })

  test('counts what is not settled, as a plain count does, and quickly where there is nothing', () => {
    const random = seededRandom(4)
    const map = new SettledMap()
    const plain = Array.from({ length: 400 }, () => random() < 0.4)
    plain.forEach((isSettled, slice) => isSettled && map.add(slice))
    for (let from = 0; from < 400; from += 7) {
      for (let below = from; below < 420; below += 13) {
        const wanted = plain.slice(from, below).filter((isSettled) => !isSettled).length + Math.max(0, below - 400)
        expect(map.unsettledCount(from, below), `${from} to ${below}`).toBe(wanted)
      }
    }
    expect(new SettledMap().unsettledCount(0, 67_108_864)).toBe(67_108_864)
  })

  test('tells the longest ranges in order', () => {
    const map = new SettledMap()
    expect(map.longestRanges(3)).toEqual([])
    for (const [first, end] of [
      [0, 4],
      [6, 7],
      [40, 100],
      [110, 112],
      [120, 125],
    ] as const) {
      for (let slice = first; slice < end; slice++) map.add(slice)
    }
    expect(map.longestRanges(3)).toEqual([
      { first: 0, count: 4 },
      { first: 40, count: 60 },
      { first: 120, count: 5 },
    ])
  })
})
