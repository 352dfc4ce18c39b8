import { describe, expect, it } from 'vitest'
import { ReportSampler, type RateReport } from '../../../src/ratelimit/index.ts'

const INTERVAL_US = 100_000

const report = (counts: Partial<RateReport>): RateReport => ({
  ...{ receivedPackets: 500, lostPackets: 0, queuePercent: 0, roundTripUs: 5000 },
  ...counts,
})

describe('ReportSampler', () => {
  it('makes a sample of what a report says, and begins the next', () => {
    const sampler = new ReportSampler(0)
    const counts = { receivedPackets: 490, lostPackets: 10, queuePercent: 7 }
    const first = sampler.add(100_000, report(counts), INTERVAL_US)
    expect(first).toEqual({ beganUs: 0, ...counts, roundTripUs: 5000, queueDelayUs: 0 })
    expect(sampler.add(200_000, report({}), INTERVAL_US)).toMatchObject({
      beganUs: 100_000,
      receivedPackets: 500,
      lostPackets: 0,
    })
  })

  it('puts reports that come in a bunch together', () => {
    const sampler = new ReportSampler(0)
    expect(sampler.add(500_000, report({}), INTERVAL_US)).toBeDefined()
    expect(
      sampler.add(501_000, report({ receivedPackets: 95, lostPackets: 140, queuePercent: 9 }), INTERVAL_US),
    ).toBeUndefined()
    expect(sampler.add(579_999, report({}), INTERVAL_US)).toBeUndefined()
    const sample = { beganUs: 500_000, receivedPackets: 1095, lostPackets: 140, queuePercent: 9 }
    expect(sampler.add(580_000, report({}), INTERVAL_US)).toMatchObject(sample)
  })

  it('takes less time where reports come more often, but never none', () => {
    const sampler = new ReportSampler(0)
    expect(sampler.add(19_999, report({}), 25_000)).toBeUndefined()
    expect(sampler.add(20_000, report({}), 25_000)).toMatchObject({ receivedPackets: 1000 })
    expect(sampler.add(20_000, report({}), 0)).toBeUndefined()
    expect(sampler.add(40_000, report({}), 0)).toBeDefined()
  })

  it('waits for as many packets as tell something, at most a second', () => {
    const sampler = new ReportSampler(0)
    const few = report({ receivedPackets: 30, lostPackets: 1 })
    for (let us = 100_000; us < 1_000_000; us += 100_000) expect(sampler.add(us, few, INTERVAL_US)).toBeUndefined()
    expect(sampler.add(1_000_000, few, INTERVAL_US)).toMatchObject({ receivedPackets: 300, lostPackets: 10 })
    for (let us = 1_100_000; us < 1_400_000; us += 100_000) {
      expect(sampler.add(us, report({ receivedPackets: 130 }), INTERVAL_US)).toBeUndefined()
    }
    expect(sampler.add(1_400_000, report({ receivedPackets: 10 }), INTERVAL_US)).toMatchObject({ receivedPackets: 400 })
  })

  it('does not count the time in which nothing came', () => {
    const sampler = new ReportSampler(0)
    expect(sampler.add(5_000_000, report({ receivedPackets: 0 }), INTERVAL_US)).toBeUndefined()
    expect(sampler.add(5_050_000, report({}), INTERVAL_US)).toBeUndefined()
    expect(sampler.add(5_100_000, report({}), INTERVAL_US)).toMatchObject({ beganUs: 5_000_000, receivedPackets: 1000 })
  })

  it('takes a report that follows lost ones for what it is: of one interval', () => {
    const sampler = new ReportSampler(0)
    expect(sampler.add(100_000, report({ receivedPackets: 9 }), INTERVAL_US)).toBeUndefined()
    const late = report({ receivedPackets: 10, lostPackets: 9000 })
    const sample = { beganUs: 4_000_000, receivedPackets: 10, lostPackets: 9000 }
    expect(sampler.add(4_100_000, late, INTERVAL_US)).toMatchObject(sample)
    // In a large group there is nothing unusual about that.
    expect(sampler.add(8_000_000, report({}), 1_000_000)).toMatchObject({ beganUs: 4_100_000 })
  })

  it('takes a round trip for longer only when three reports in a row say so', () => {
    const sampler = new ReportSampler(0)
    const delays = [5000, 60_000, 45_000, 50_000, 47_000, 6000].map((roundTripUs, index) => {
      const { roundTripUs: shortest, queueDelayUs } = sampler.add(
        (index + 1) * 100_000,
        report({ roundTripUs }),
        INTERVAL_US,
      )!
      return [shortest, queueDelayUs]
    })
    expect(delays).toEqual([
      [5000, 0],
      [5000, 0],
      [5000, 0],
      [45_000, 40_000],
      [45_000, 40_000],
      [6000, 1000],
    ])
  })

  it('knows no queue as long as no report tells a round trip', () => {
    const sample = new ReportSampler(0).add(100_000, report({ roundTripUs: undefined }), INTERVAL_US)
    expect(sample).toMatchObject({ roundTripUs: 0, queueDelayUs: 0 })
  })
})
