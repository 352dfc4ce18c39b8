import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../../src/random.ts'
import { AdaptiveRate, ReportSampler, type PathSample } from '../../../src/ratelimit/index.ts'

const INTERVAL_US = 100_000
const GRTT_US = 10_000
const PACKET_BYTES = 1472

/** A sample of the interval that ended then. */
const sampleOf = (atUs: number, sample: Partial<PathSample>): PathSample => ({
  ...{ beganUs: atUs - INTERVAL_US, receivedPackets: 1000, lostPackets: 0 },
  ...{ queuePercent: 0, roundTripUs: 5000, queueDelayUs: 0 },
  ...sample,
})

interface Path {
  /** What gets through, bits per second; the rest is lost. */
  readonly bottleneckBitsPerSec: number
  /** Share lost by chance. */
  readonly lossRatio: number
  /** What the receiver writes, bits per second; its queue holds 64 MiB. */
  readonly diskBitsPerSec?: number
}

/** Drives a controller over paths, reports late by one interval. Returns the rate of each interval. */
function run(
  paths: readonly Path[],
  intervalCount: number,
  options: { cap?: number; usedRatio?: number } = {},
): number[] {
  const random = seededRandom(7)
  const rate = new AdaptiveRate(0, PACKET_BYTES, options.cap)
  const queues = paths.map(() => 0)
  const samplers = paths.map(() => new ReportSampler(0))
  const rates: number[] = []
  for (let interval = 1; interval <= intervalCount; interval++) {
    const sentBitsPerSec = rate.bitsPerSec * (options.usedRatio ?? 1)
    rates.push(rate.bitsPerSec)
    const sentBytes = (sentBitsPerSec * INTERVAL_US) / 8e6
    const sentPackets = Math.round(sentBytes / PACKET_BYTES)
    rate.handleInterval(interval * INTERVAL_US, sentBytes)
    paths.forEach((path, index) => {
      const through = Math.min(1, path.bottleneckBitsPerSec / sentBitsPerSec)
      let received = Math.round(sentPackets * through)
      // Sum of many independent losses: normal enough (Irwin-Hall of 12).
      let noise = -6
      for (let n = 0; n < 12; n++) noise += random()
      const lost = received * path.lossRatio + noise * Math.sqrt(received * path.lossRatio * (1 - path.lossRatio))
      received -= Math.max(0, Math.round(lost))
      const queue = queues[index]! + received * PACKET_BYTES - ((path.diskBitsPerSec ?? 1e12) * INTERVAL_US) / 8e6
      queues[index] = Math.max(0, queue)
      const queuePercent = Math.min(100, (queues[index] / 67_108_864) * 100)
      const counts = { receivedPackets: received, lostPackets: sentPackets - received, queuePercent }
      const atUs = interval * INTERVAL_US + 5000 + index
      const sample = samplers[index]!.add(atUs, { ...counts, roundTripUs: 5000 }, INTERVAL_US)
      if (sample !== undefined) rate.handleSample(atUs, sample, GRTT_US)
    })
  }
  return rates
}

const mean = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0) / numbers.length

const CLEAN: Path = { bottleneckBitsPerSec: 1e12, lossRatio: 0 }

describe('AdaptiveRate', () => {
  it('starts at 200 Mbit/s and doubles each interval until the cap', () => {
    const rates = run([CLEAN], 8, { cap: 2_000_000_000 })
    expect(rates.slice(0, 7)).toEqual([2e8, 2e8, 4e8, 8e8, 16e8, 20e8, 20e8])
  })

  it('starts at a cap of up to 1 Gbit/s', () => {
    expect(run([CLEAN], 1, { cap: 1e9 })).toEqual([1e9])
    expect(run([CLEAN], 1, { cap: 1e6 })).toEqual([1e6])
  })

  it('leaves out the fraction of a cap: the rate is whole', () => {
    const rate = new AdaptiveRate(0, PACKET_BYTES, 1e9 / 3)
    expect(rate.bitsPerSec).toBe(333_333_333)
    rate.setCap(1e8 / 3)
    expect(rate.bitsPerSec).toBe(33_333_333)
  })

  it.each([20e6, 90e6, 940e6, 9.4e9])('settles near a bottleneck of %d bit/s', (bottleneckBitsPerSec) => {
    const rates = run([{ bottleneckBitsPerSec, lossRatio: 0 }], 300).slice(100)
    expect(mean(rates) / bottleneckBitsPerSec).toBeGreaterThan(0.9)
    expect(Math.max(...rates) / bottleneckBitsPerSec).toBeLessThan(1.1)
    expect(Math.min(...rates) / bottleneckBitsPerSec).toBeGreaterThan(0.8)
  })

  it('does not collapse at 1 % random loss, whoever loses it', () => {
    const paths = Array.from({ length: 20 }, () => ({ bottleneckBitsPerSec: 940e6, lossRatio: 0.01 }))
    const rates = run(paths, 300).slice(100)
    expect(mean(rates)).toBeGreaterThan(0.85 * 940e6)
  })

  it.each([0.03, 0.05, 0.1, 0.2])(
    'learns that a medium loses %d by itself, and finds its bottleneck all the same',
    (lossRatio) => {
      const rates = run([{ bottleneckBitsPerSec: 940e6, lossRatio }], 300)
      expect(Math.max(...rates.slice(0, 20))).toBeGreaterThan(400e6)
      const settled = rates.slice(100)
      expect(mean(settled)).toBeGreaterThan(0.8 * 940e6)
      expect(mean(settled)).toBeLessThan((1.15 * 940e6) / (1 - lossRatio * 0.25))
    },
  )

  it('does not take a bottleneck that narrows for the medium', () => {
    const path = { bottleneckBitsPerSec: 940e6, lossRatio: 0 }
    const rate = new AdaptiveRate(0, PACKET_BYTES)
    for (let interval = 1; interval <= 200; interval++) {
      if (interval === 50) path.bottleneckBitsPerSec = 300e6
      if (interval === 120) path.bottleneckBitsPerSec = 100e6
      const sentPackets = Math.round((rate.bitsPerSec * INTERVAL_US) / 8e6 / PACKET_BYTES)
      const receivedPackets = Math.round(sentPackets * Math.min(1, path.bottleneckBitsPerSec / rate.bitsPerSec))
      rate.handleInterval(interval * INTERVAL_US, sentPackets * PACKET_BYTES)
      const atUs = interval * INTERVAL_US
      const counts = { receivedPackets, lostPackets: sentPackets - receivedPackets }
      rate.handleSample(atUs + 5000, sampleOf(atUs, counts), GRTT_US)
      if (interval > 60 && interval < 120) expect(rate.bitsPerSec).toBeLessThan(330e6)
      if (interval > 130) expect(rate.bitsPerSec).toBeLessThan(110e6)
    }
  })

  it('takes nothing of the time before the transfer begins for what it can do', () => {
    const rate = new AdaptiveRate(0, PACKET_BYTES)
    rate.handleInterval(100_000, 500)
    rate.start(150_000)
    rate.handleSample(260_000, sampleOf(260_000, { receivedPackets: 800, lostPackets: 200 }), GRTT_US)
    expect(rate.bitsPerSec).toBe(144e6)
  })

  it('follows the worst of many receivers', () => {
    const slow = { bottleneckBitsPerSec: 100e6, lossRatio: 0 }
    const rates = run([CLEAN, slow, CLEAN], 300).slice(100)
    expect(mean(rates) / 100e6).toBeGreaterThan(0.85)
    expect(mean(rates) / 100e6).toBeLessThan(1.05)
  })

  it('keeps to what a receiver can write', () => {
    const rates = run([{ ...CLEAN, diskBitsPerSec: 600e6 }], 1000).slice(400)
    expect(mean(rates) / 600e6).toBeGreaterThan(0.8)
    expect(mean(rates) / 600e6).toBeLessThan(1.05)
  })

  it('never falls below 1 Mbit/s, nor above a cap below that', () => {
    expect(Math.min(...run([{ bottleneckBitsPerSec: 1000, lossRatio: 0 }], 100))).toBe(1_000_000)
    expect(Math.max(...run([CLEAN], 10, { cap: 500_000 }))).toBe(500_000)
  })

  it('does not grow when the rate is not used, nor without reports, nor while a queue is half full', () => {
    expect(Math.max(...run([CLEAN], 20, { usedRatio: 0.5 }))).toBe(200e6)
    expect(Math.max(...run([], 20))).toBe(200e6)
    const rate = new AdaptiveRate(0, PACKET_BYTES)
    for (let us = INTERVAL_US; us < 2e6; us += INTERVAL_US) {
      rate.handleSample(us - 5, sampleOf(us - 5, { queuePercent: 60 }), GRTT_US)
      rate.handleInterval(us, 2_500_000)
    }
    expect(rate.bitsPerSec).toBe(200e6)
  })

  it('falls once for one trouble: ignores samples that tell of the time before', () => {
    const rate = new AdaptiveRate(0, PACKET_BYTES)
    rate.handleInterval(100_000, 2_500_000)
    const counts = { receivedPackets: 1358, lostPackets: 340 }
    rate.handleSample(150_000, sampleOf(150_000, counts), GRTT_US)
    const fallen = rate.bitsPerSec
    expect(fallen / 144e6).toBeCloseTo(1, 2)
    rate.handleSample(259_999, sampleOf(259_999, counts), GRTT_US)
    expect(rate.bitsPerSec).toBe(fallen)
    rate.handleSample(260_000, sampleOf(260_000, counts), GRTT_US)
    expect(rate.bitsPerSec).toBeLessThan(fallen)
  })

  it('falls by a share at a time while the sender is held up, however little it sends', () => {
    const rate = new AdaptiveRate(0, PACKET_BYTES)
    rate.handleInterval(100_000, 2_500_000)
    rate.handleInterval(600_000, 500_000)
    rate.handleSample(610_000, sampleOf(610_000, { receivedPackets: 50, lostPackets: 50 }), GRTT_US)
    expect(rate.bitsPerSec / (200e6 * 0.736 * 0.9)).toBeCloseTo(1, 2)
  })

  it('falls by what did not come in of what was sent, although a queue has it and little was lost so far', () => {
    const rate = new AdaptiveRate(0, PACKET_BYTES)
    rate.handleInterval(100_000, 2_500_000)
    const counts = { beganUs: 10_000, receivedPackets: 900, lostPackets: 50, roundTripUs: 10_000 }
    rate.handleSample(110_000, sampleOf(110_000, counts), GRTT_US)
    expect(rate.bitsPerSec / 1e6).toBeCloseTo(900 * PACKET_BYTES * 8 * 10 * 0.9 * 1e-6, 3)
  })

  it('halves once after an outage, however many receivers tell of it, however much they have lost', () => {
    const rate = new AdaptiveRate(0, PACKET_BYTES)
    for (let us = INTERVAL_US; us <= 2e6; us += INTERVAL_US) rate.handleInterval(us, 2_500_000)
    for (let host = 0; host < 5; host++) {
      const atUs = 2_010_000 + host * 20_000
      rate.handleSample(atUs, sampleOf(atUs, { receivedPackets: 10, lostPackets: 30_000 }), GRTT_US)
    }
    expect(rate.bitsPerSec).toBe(100e6)
    rate.handleInterval(2.2e6, 1_250_000)
    rate.handleSample(2.25e6, sampleOf(2.25e6, {}), GRTT_US)
    rate.handleInterval(2.3e6, 1_250_000)
    expect(rate.bitsPerSec).toBe(103e6)
  })

  it('falls from little above what was sent, when the rate was far higher', () => {
    const rate = new AdaptiveRate(0, PACKET_BYTES)
    for (let us = INTERVAL_US; us <= 3e6; us += INTERVAL_US) rate.handleInterval(us, 1_000_000)
    rate.handleSample(3.1e6, sampleOf(3.1e6, { receivedPackets: 600, lostPackets: 200 }), GRTT_US)
    expect(rate.bitsPerSec).toBe(80e6 * 1.25 * 0.75 * 0.9)
  })

  it.each([
    [0, 0.9],
    [25_000, 0.8],
    [50_000, 0.7],
    [500_000, 0.7],
  ])('falls deeper where a queue of %d us is to be emptied: to %d', (queueDelayUs, ratio) => {
    const rate = new AdaptiveRate(0, PACKET_BYTES)
    const counts = { receivedPackets: 900, lostPackets: 100, queueDelayUs }
    rate.handleSample(150_000, sampleOf(150_000, counts), GRTT_US)
    expect(rate.bitsPerSec).toBe(Math.round(200e6 * 0.9 * ratio))
  })

  describe('a small loss', () => {
    const counts = { receivedPackets: 1990, lostPackets: 10 }
    const queued = { ...counts, queueDelayUs: 40_000 }
    /** One that has met trouble, whose doubling is over. */
    const settled = (): AdaptiveRate => {
      const rate = new AdaptiveRate(0, PACKET_BYTES)
      rate.handleSample(150_000, sampleOf(150_000, { receivedPackets: 900, lostPackets: 100 }), GRTT_US)
      return rate
    }

    it("is taken for the medium's own without a queue", () => {
      const rate = settled()
      const before = rate.bitsPerSec
      rate.handleSample(400_000, sampleOf(400_000, counts), GRTT_US)
      expect(rate.bitsPerSec).toBe(before)
    })

    it('is a sign of congestion with one', () => {
      const rate = settled()
      const before = rate.bitsPerSec
      rate.handleSample(400_000, sampleOf(400_000, queued), GRTT_US)
      expect(rate.bitsPerSec).toBeLessThan(before * 0.8)
    })

    it('does not end the doubling, which would lose far more: hosts are busy at first', () => {
      const rate = new AdaptiveRate(0, PACKET_BYTES)
      rate.handleSample(150_000, sampleOf(150_000, queued), GRTT_US)
      expect(rate.bitsPerSec).toBe(200e6)
      expect(rate.isDoubling).toBe(true)
    })
  })

  it("knows the medium's own loss again when there is a queue", () => {
    const rate = new AdaptiveRate(0, PACKET_BYTES)
    const counts = { receivedPackets: 1980, lostPackets: 20 }
    for (let us = INTERVAL_US; us <= 2e6; us += INTERVAL_US) {
      rate.handleSample(us - 5, sampleOf(us - 5, counts), GRTT_US)
      rate.handleInterval(us, 1_000_000)
    }
    rate.handleSample(2.05e6, sampleOf(2.05e6, { ...counts, queueDelayUs: 40_000 }), GRTT_US)
    expect(rate.bitsPerSec).toBe(200e6)
  })

  it.each([
    [5_000, 140e6 * 0.3],
    [20_000, 1472 * 8 * 2500],
    [50_000, 1472 * 8 * 400],
    [500_000, 140e6 * 0.03],
  ])('grows after trouble as TCP would at a round trip of %d us: by %d bit/s a second', (roundTripUs, perSec) => {
    const rate = new AdaptiveRate(0, PACKET_BYTES)
    const queued = { queuePercent: 90, queueDelayUs: 50_000 }
    rate.handleSample(100_000, sampleOf(100_000, queued), GRTT_US)
    rate.handleInterval(200_000, 3_500_000)
    const before = rate.bitsPerSec
    rate.handleSample(290_000, sampleOf(290_000, { beganUs: 200_000, roundTripUs }), GRTT_US)
    rate.handleInterval(300_000, 1_750_000)
    expect(((rate.bitsPerSec - before) * 10) / perSec).toBeCloseTo(1, 2)
  })

  it('follows a cap that changes', () => {
    const rate = new AdaptiveRate(0, PACKET_BYTES)
    rate.setCap(50e6)
    expect(rate.bitsPerSec).toBe(50e6)
    rate.setCap(500e6)
    expect(rate.bitsPerSec).toBe(50e6)
  })
})
