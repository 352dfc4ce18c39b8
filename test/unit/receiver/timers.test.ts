import { describe, expect, test } from 'vitest'
import { RETRY_INTERVAL_US } from '../../../src/protocol/index.ts'
import { seededRandom } from '../../../src/random.ts'
import { drawBackoffUs } from '../../../src/receiver/machine/backoff.ts'
import { Retry } from '../../../src/receiver/machine/retry.ts'

describe('drawBackoffUs', () => {
  test('stays within the window, and a single receiver has none', () => {
    const random = seededRandom(1)
    for (let draw = 0; draw < 1000; draw++) {
      const us = drawBackoffUs(random, 20_000, 100, 3)
      expect(us).toBeGreaterThanOrEqual(0)
      expect(us).toBeLessThanOrEqual(20_000)
    }
    expect(drawBackoffUs(random, 0, 1, 3)).toBe(0)
  })

  test('is early for few receivers of a large group, however large', () => {
    for (const groupCount of [100, 1000, 10_000]) {
      const random = seededRandom(2)
      let earlyCount = 0
      for (let draw = 0; draw < groupCount; draw++) {
        if (drawBackoffUs(random, 20_000, groupCount, 0) < 5000) earlyCount++
      }
      expect(earlyCount).toBeLessThan(30)
    }
  })

  test('is shorter for a larger deficit', () => {
    const mean = (deficit: number): number => {
      const random = seededRandom(3)
      let sum = 0
      for (let draw = 0; draw < 500; draw++) sum += drawBackoffUs(random, 20_000, 50, deficit)
      return sum / 500
    }
    expect(mean(40)).toBeLessThan(mean(1) * 0.7)
  })
})

describe('Retry', () => {
  const timesOf = (retry: Retry, intervalUs: number, count: number): number[] => {
    const times: number[] = []
    while (times.length < count) {
      const nowUs = retry.nextUs
      expect(retry.poll(nowUs - 1, intervalUs)).toBe(false)
      expect(retry.poll(nowUs, intervalUs)).toBe(true)
      times.push(nowUs)
    }
    return times
  }

  test('doubles its interval up to eight times, with a quarter of jitter', () => {
    const retry = new Retry(seededRandom(4))
    retry.start(1000)
    const times = timesOf(retry, RETRY_INTERVAL_US, 7)
    expect(times[0]).toBe(1000)
    const gaps = times.slice(1).map((time, index) => (time - times[index]!) / RETRY_INTERVAL_US)
    for (const [index, factor] of [1, 2, 4, 8, 8, 8].entries()) {
      expect(gaps[index]).toBeGreaterThanOrEqual(factor * 0.75)
      expect(gaps[index]).toBeLessThanOrEqual(factor * 1.25 + 0.001)
    }
  })

  test('does nothing before it starts and after it stops', () => {
    const retry = new Retry(seededRandom(4))
    expect(retry.poll(1e12, 0)).toBe(false)
    retry.start(0)
    retry.stop()
    expect(retry.nextUs).toBe(Infinity)
    expect(retry.poll(1e12, 0)).toBe(false)
  })
})
