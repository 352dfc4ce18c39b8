import { describe, expect, it } from 'vitest'
import {
  aggregationUs,
  backoffWindowUs,
  holdoffUs,
  MAX_RECEIVER_COUNT,
  MIN_REPORT_INTERVAL_MS,
  reportIntervalMs,
  REPORTS_PER_SEC,
} from '../../../src/protocol/index.ts'

describe('the timers of feedback', () => {
  it.each([
    [0, 0],
    [1, 0],
    [2, 10_000],
    [8, 10_000],
    [16, 13_333],
    [64, 40_000],
    [10_000, 40_000],
  ])('let %i receivers back off for up to %i microseconds at a GRTT of 10 ms', (groupCount, windowUs) => {
    expect(backoffWindowUs(groupCount, 10_000)).toBe(windowUs)
  })

  it('do not let few receivers wait longer for the round trips of busy hosts', () => {
    expect(backoffWindowUs(8, 60_000)).toBe(10_000)
    expect(backoffWindowUs(8, 1000)).toBe(4000)
  })

  it('wait longer the farther they are from the loss', () => {
    expect(aggregationUs(64, 10_000)).toBe(45_000)
    expect(holdoffUs(64, 10_000)).toBe(65_000)
    expect(aggregationUs(1, 10_000)).toBe(5000)
    expect(holdoffUs(1, 10_000)).toBe(25_000)
  })

  it.each([
    [0, 100],
    [20, 100],
    [21, 105],
    [1000, 5000],
    [1001, 5005],
    [10_000, 50_000],
  ])('let each of %i receivers report every %i milliseconds', (groupCount, intervalMs) => {
    expect(reportIntervalMs(groupCount)).toBe(intervalMs)
  })

  it.each([
    [1, 25],
    [5, 25],
    [6, 30],
    [20, 100],
    [1000, 5000],
  ])('let each of %i receivers report every %i milliseconds while the rate is sought', (groupCount, intervalMs) => {
    expect(reportIntervalMs(groupCount, MIN_REPORT_INTERVAL_MS)).toBe(intervalMs)
  })

  it('keep the whole group to the same number of reports', () => {
    for (let groupCount = 20; groupCount <= MAX_RECEIVER_COUNT; groupCount += 111) {
      expect((groupCount * 1000) / reportIntervalMs(groupCount)).toBeLessThanOrEqual(REPORTS_PER_SEC)
    }
  })
})
