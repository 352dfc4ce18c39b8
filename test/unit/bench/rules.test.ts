import { describe, expect, it } from 'vitest'
import { compare } from '../../../bench/peers/rules.ts'
import type { Scenario } from '../../../bench/peers/scenario.ts'
import { spreadOf } from '../../../bench/peers/statistics.ts'
import type { CaseSummary } from '../../../bench/peers/summary.ts'

const LOSSLESS: Scenario = { data: 'random', receiverCount: 4, lossPercent: 0, mtuBytes: 1500 }
const LOSSY: Scenario = { ...LOSSLESS, lossPercent: 1 }
const IMAGES = new Map([['rootfs', { path: '', sizeBytes: 4000, allocatedBytes: 500 }]] as const)

/** @param figures time in ms, bytes sent, bytes of data */
function summary(program: string, scenario: Scenario, figures: [number, number, number?]): CaseSummary {
  const zero = spreadOf([0])
  const [wholeRunMs, sentBytes, dataBytes] = figures
  return {
    ...{ program, scenario, runCount: 1, failures: [] },
    ...{ wholeRunMs: spreadOf([wholeRunMs]), sentBytes: spreadOf([sentBytes]), feedbackBytes: zero },
    ...{ senderSeconds: zero, receiverSeconds: zero, senderPeakBytes: zero, receiverPeakBytes: zero },
    socketDropCount: zero,
    ...(dataBytes === undefined ? {} : { dataBytes }),
  }
}

const values = (...summaries: CaseSummary[]): (number | boolean | undefined)[][] =>
  compare(summaries, IMAGES).map(({ value, isMet }) => [value, isMet])

describe('compare', () => {
  it('holds loss against no loss: bytes to a bar, time to none', () => {
    const lossless = summary('skilfish', LOSSLESS, [1000, 100])
    expect(values(lossless, summary('skilfish', LOSSY, [2000, 105]))).toEqual([
      [1.05, true],
      [2, undefined],
    ])
    expect(values(lossless, summary('skilfish', LOSSY, [1500, 106]))[0]).toEqual([1.06, false])
  })

  it('holds bytes under loss against the best run without loss', () => {
    const lossless = { ...summary('skilfish', LOSSLESS, [1000, 100]), sentBytes: spreadOf([100, 120, 130]) }
    expect(values(lossless, summary('skilfish', LOSSY, [1000, 110]))[0]).toEqual([1.1, false])
  })

  it('asks to be faster than peers in the same scenario, and looks at no other', () => {
    const ours = summary('skilfish', LOSSLESS, [1000, 100])
    expect(values(ours, summary('udpcast', LOSSLESS, [4000, 100]), summary('uftp', LOSSLESS, [500, 100]))).toEqual([
      [0.25, true],
      [2, false],
    ])
    expect(values(ours, summary('udpcast', { ...LOSSLESS, mtuBytes: 9000 }, [4000, 100]))).toEqual([])
    expect(values(ours, summary('udpcast', { ...LOSSLESS, maxBitsPerSec: 1e8 }, [4000, 100]))).toEqual([])
  })

  it('asks for most of a file system to be saved, and for its holes not to be sent', () => {
    const rootfs: Scenario = { ...LOSSLESS, data: 'rootfs' }
    expect(values(summary('skilfish', rootfs, [1, 300, 500]))).toEqual([
      [0.6, true],
      [1, true],
    ])
    expect(values(summary('skilfish', rootfs, [1, 306, 501]))).toEqual([
      [306 / 501, false],
      [501 / 500, false],
    ])
  })

  it('leaves out what did not run', () => {
    const failed = { ...summary('udpcast', LOSSLESS, [NaN, NaN]), runCount: 0, failures: ['it hung'] }
    expect(values(summary('skilfish', LOSSLESS, [1000, 100]), failed)).toEqual([])
  })
})
