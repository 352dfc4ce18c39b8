import { describe, expect, test } from 'vitest'
import type { Report } from '../../../src/protocol/index.ts'
import { HandDriven } from './hand-driven.ts'

describe('while the rate is sought', () => {
  const intervalMs = (driven: HandDriven): number => driven.said('announce').at(-1)!.feedback.reportIntervalMs

  /** One receiver that says all is well as often as it is asked to, or as `answer` has it. */
  function sought(maxBitrate: number | undefined, answer: Partial<Report> = {}, untilUs = 2_000_000): HandDriven {
    const driven = new HandDriven(100_000, { maxBitrate })
    driven.join(1)
    let heard = 0
    for (const beganUs = driven.nowUs; driven.nowUs < beganUs + untilUs;) {
      driven.until(driven.nowUs + intervalMs(driven) * 1000)
      driven.report(1, { receivedPackets: driven.data.length - heard, ...answer })
      heard = driven.data.length
    }
    return driven
  }

  test('reports are asked for every 25 ms, and each lets the rate double', () => {
    const driven = sought(undefined, {}, 250_000)
    expect(intervalMs(driven)).toBe(25)
    expect(driven.machine.stats().rateBitsPerSec).toBeGreaterThanOrEqual(1_600_000_000)
  })

  test.each([
    ['for a second at most', undefined, { receivedPackets: 0 }, 1_500_000],
    ['only below the cap', 100_000_000, {}, 300_000],
    ['until the first trouble', undefined, { lostPackets: 400 }, 400_000],
  ])('%s', (_, maxBitrate, answer, untilUs) => {
    expect(intervalMs(sought(maxBitrate, answer, untilUs))).toBe(100)
  })

  test('no more often than four round trips', () => {
    const driven = new HandDriven(100_000, { maxBitrate: undefined })
    driven.join(1)
    for (let time = 0; time < 30; time++) {
      driven.until(driven.nowUs + 15_000)
      driven.report(1, { echoSentAtUs: Math.max(1, driven.nowUs - 15_000) })
    }
    expect(intervalMs(driven)).toBeGreaterThanOrEqual(50)
    expect(intervalMs(driven)).toBeLessThanOrEqual(60)
  })
})
