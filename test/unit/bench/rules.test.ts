import { describe, expect, it } from 'vitest'
import { judgeByRules } from '../../../bench/peers/rules.ts'
import { BASE, type ProgramName, type Scenario } from '../../../bench/peers/scenario.ts'
import { spreadOf } from '../../../bench/peers/statistics.ts'
import type { CaseSummary } from '../../../bench/peers/summary.ts'
import { failed, summaryOf } from './summaries.ts'

const LOSSY: Scenario = { ...BASE, lossPercent: 1 }
const ROOTFS: Scenario = { ...BASE, data: 'rootfs', imageMib: 4096 }
const IMAGES = new Map([['rootfs-4096MiB', { path: '', sizeBytes: 4000, allocatedBytes: 500 }]])

/** @param figures time in ms, bytes sent, bytes of data */
function summary(program: ProgramName, scenario: Scenario, figures: [number, number, number?]): CaseSummary {
  const [wholeRunMs, sentBytes, dataBytes] = figures
  return summaryOf(program, scenario, {
    ...{ wholeRunMs: spreadOf([wholeRunMs]), sentBytes: spreadOf([sentBytes]) },
    ...(dataBytes === undefined ? {} : { dataBytes }),
  })
}

/** Without those of memory, which are there whenever something of ours ran. */
const values = (...summaries: CaseSummary[]): (number | boolean | undefined)[][] =>
  judgeByRules({ summaries, images: IMAGES })
    .filter(({ unit }) => unit === '×')
    .map(({ measured, isMet }) => [measured, isMet])

describe('judgeByRules', () => {
  it('holds loss against no loss: bytes to a limit, time to none', () => {
    const lossless = summary('skilfish', BASE, [1000, 1000])
    expect(values(lossless, summary('skilfish', LOSSY, [2000, 1035]))).toEqual([
      [1.035, true],
      [2, undefined],
    ])
    expect(values(lossless, summary('skilfish', LOSSY, [1500, 1036]))[0]).toEqual([1.036, false])
    expect(values(lossless, summary('skilfish', { ...BASE, lossPercent: 5 }, [1500, 1120]))[0]).toEqual([1.12, true])
    expect(values(lossless, summary('skilfish', { ...BASE, lossPercent: 7 }, [1500, 9000]))[0]).toEqual([9, undefined])
  })

  it('holds bytes under loss against the best run without loss', () => {
    const lossless = { ...summary('skilfish', BASE, [1000, 100]), sentBytes: spreadOf([100, 120, 130]) }
    expect(values(lossless, summary('skilfish', LOSSY, [1000, 110]))[0]).toEqual([1.1, false])
  })

  it('asks to be faster than peers in the same scenario, and looks at no other', () => {
    const ours = summary('skilfish', BASE, [1000, 100])
    expect(values(ours, summary('udpcast', BASE, [4000, 100]), summary('uftp', BASE, [500, 100]))).toEqual([
      [4, true],
      [0.5, false],
    ])
    expect(values(ours, summary('udpcast', { ...BASE, mtuBytes: 9000 }, [4000, 100]))).toEqual([])
    expect(values(ours, summary('udpcast', { ...BASE, maxBitsPerSec: 1e8 }, [4000, 100]))).toEqual([])
    expect(values(ours, summary('udpcast', { ...BASE, imageMib: 128 }, [4000, 100]))).toEqual([])
  })

  it('tells of the raw limit, and of what the kernel’s help is worth, without asking anything', () => {
    const raw = summary('raw-limit', BASE, [500, 100])
    expect(values(summary('skilfish', BASE, [1000, 100]), raw)).toEqual([[0.5, undefined]])
    const peer = summary('udpcast', BASE, [500, 100])
    expect(values(summary('skilfish-no-offload', BASE, [1000, 100]), peer)).toEqual([[0.5, undefined]])
  })

  it('asks for most of a file system to be saved, and for its holes not to be sent', () => {
    expect(values(summary('skilfish', ROOTFS, [1, 300, 500]))).toEqual([
      [0.6, true],
      [1, true],
    ])
    expect(values(summary('skilfish', ROOTFS, [1, 306, 501]))).toEqual([
      [306 / 501, false],
      [501 / 500, false],
    ])
  })

  it('limits the memory of the worst run', () => {
    const mib = 1024 ** 2
    const peaks = (receiverMib: number, senderMib: number): Partial<CaseSummary> => ({
      receiverPeakBytes: spreadOf([mib, receiverMib * mib]),
      senderPeakBytes: spreadOf([mib, senderMib * mib]),
    })
    const judge = (other: Partial<CaseSummary>): (number | boolean | undefined)[][] =>
      judgeByRules({
        summaries: [
          summaryOf('skilfish', BASE, peaks(100, 200)),
          summaryOf('skilfish-no-offload', BASE, other),
          summaryOf('uftp', BASE, peaks(999, 999)),
        ],
        images: IMAGES,
      })
        .filter(({ unit }) => unit === 'MiB')
        .map(({ measured, isMet }) => [measured, isMet])
    expect(judge(peaks(128, 256))).toEqual([
      [128, true],
      [256, true],
    ])
    expect(judge(peaks(129, 257))).toEqual([
      [129, false],
      [257, false],
    ])
  })

  it('leaves out what did not run', () => {
    expect(values(summary('skilfish', BASE, [1000, 100]), failed('udpcast', BASE))).toEqual([])
    expect(judgeByRules({ summaries: [failed('skilfish', BASE)], images: IMAGES })).toEqual([])
  })
})
