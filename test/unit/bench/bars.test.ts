import { describe, expect, it } from 'vitest'
import { BARS, judgeBars, type Bar } from '../../../bench/peers/bars.ts'
import type { Findings, StartSummary } from '../../../bench/peers/findings.ts'
import { BASE, type ProgramName, type Scenario } from '../../../bench/peers/scenario.ts'
import { spreadOf } from '../../../bench/peers/statistics.ts'
import type { CaseSummary } from '../../../bench/peers/summary.ts'
import { failed, summaryOf } from './summaries.ts'

const MIB = 1024 ** 2
const NOTHING: Findings = { summaries: [], images: new Map() }

function bar(part: string): Bar {
  const found = BARS.filter(({ label }) => label.startsWith(part))
  expect(found).toHaveLength(1)
  return found[0]!
}

/** Whether the bar is met by these cases. */
function isMet(part: string, ...summaries: CaseSummary[]): boolean | undefined {
  return judgeBars([bar(part)], { ...NOTHING, summaries })[0]!.isMet
}

const timed = (program: ProgramName, scenario: Scenario, ms: number): CaseSummary =>
  summaryOf(program, scenario, { wholeRunMs: spreadOf([ms]) })

describe('the bars', () => {
  it('have names of their own', () => {
    expect(new Set(BARS.map(({ label }) => label)).size).toBe(BARS.length)
  })

  it('are all missed when nothing was measured', () => {
    expect(judgeBars(BARS, NOTHING).map(({ measured, isMet: met }) => [measured, met])).toEqual(
      BARS.map(() => [NaN, false]),
    )
  })

  it.each([
    ['skilfish, times as fast as udpcast: 1 receiver', 'skilfish', 'udpcast', { receiverCount: 1 }, 2],
    ['skilfish, times as fast as udpcast: 4 receivers, 0 % loss, random', 'skilfish', 'udpcast', {}, 4],
    ['skilfish, times as fast as uftp:', 'skilfish', 'uftp', {}, 3],
    ['skilfish, times as fast as raw-limit', 'skilfish', 'raw-limit', {}, 0.6],
    ['skilfish, times as fast as udpcast: 4 receivers, 1 %', 'skilfish', 'udpcast', { lossPercent: 1 }, 3.5],
    ['skilfish, times as fast as udpcast: 4 receivers, 5 %', 'skilfish', 'udpcast', { lossPercent: 5 }, 3],
    ['skilfish-no-offload', 'skilfish-no-offload', 'udpcast', {}, 1.3],
    ['skilfish, times as fast as udpcast-lzop', 'skilfish', 'udpcast-lzop', { data: 'rootfs', imageMib: 4096 }, 3],
    [
      'skilfish, times as fast as udpcast: 4 receivers, 0 % loss, rootfs',
      ...(['skilfish', 'udpcast', { data: 'rootfs', imageMib: 4096 }, 8] as const),
    ],
  ] as const)('ask for speed: %s', (part, program, other, axes, factor) => {
    const scenario: Scenario = { ...BASE, ...axes }
    const ours = timed(program, scenario, 1000)
    expect(isMet(part, ours, timed(other, scenario, factor * 1000))).toBe(true)
    expect(isMet(part, ours, timed(other, scenario, factor * 1000 - 1))).toBe(false)
    expect(isMet(part, ours, failed(other, scenario))).toBe(false)
    expect(isMet(part, ours)).toBe(false)
  })

  it('hold one receiver against the transfer phase alone of uftp', () => {
    const one = { ...BASE, receiverCount: 1 }
    const uftp = (transferMs: number): CaseSummary =>
      summaryOf('uftp', one, { wholeRunMs: spreadOf([9000]), transferMs: spreadOf([transferMs]) })
    const part = 'skilfish, times as fast as the transfer phase'
    expect(isMet(part, timed('skilfish', one, 1000), uftp(1000))).toBe(true)
    expect(isMet(part, timed('skilfish', one, 1000), uftp(999))).toBe(false)
  })

  it.each([
    [1, 1.035],
    [5, 1.12],
  ])('limit what %d %% loss costs in bytes', (lossPercent, most) => {
    const sent = (percent: number, bytes: number): CaseSummary =>
      summaryOf('skilfish', { ...BASE, lossPercent: percent }, { sentBytes: spreadOf([bytes]) })
    const part = `bytes sent, over the least at 0 % loss: 4 receivers, ${lossPercent} %`
    expect(isMet(part, sent(0, 1000), sent(lossPercent, most * 1000))).toBe(true)
    expect(isMet(part, sent(0, 1000), sent(lossPercent, most * 1000 + 1))).toBe(false)
  })

  it.each([{}, { receiverCount: 1 }, { maxBitsPerSec: 320e6 }, { receiverCount: 1, maxBitsPerSec: 320e6 }])(
    'ask for no more processor time than udp-receiver takes: %o',
    (axes) => {
      const scenario: Scenario = { ...BASE, ...axes }
      const busy = (program: ProgramName, seconds: number): CaseSummary =>
        summaryOf(program, scenario, { receiverSeconds: spreadOf([seconds]) })
      const judge = (...summaries: CaseSummary[]): (boolean | undefined)[] =>
        judgeBars(BARS, { ...NOTHING, summaries })
          .filter(({ label, measured }) => label.startsWith('a receiver’s') && !Number.isNaN(measured))
          .map(({ isMet: met }) => met)
      expect(judge(busy('skilfish', 2), busy('udpcast', 2))).toEqual([true])
      expect(judge(busy('skilfish', 2.1), busy('udpcast', 2))).toEqual([false])
    },
  )

  it('limit memory by the worst run, also for an image of 1 TiB', () => {
    const terabyte: Scenario = { ...BASE, data: 'holes', imageMib: MIB }
    for (const [name, scenario] of [
      ['random', BASE],
      ['holes 1 TiB', terabyte],
    ] as const) {
      const peak = (mib: number): CaseSummary =>
        summaryOf('skilfish', scenario, {
          receiverPeakBytes: spreadOf([MIB, MIB, mib * MIB]),
          senderPeakBytes: spreadOf([MIB, MIB, mib * MIB]),
        })
      const ofReceiver = `peak memory of a receiver: 4 receivers, 0 % loss, ${name}`
      const ofSender = `peak memory of a sender: 4 receivers, 0 % loss, ${name}`
      expect([128, 129].map((mib) => isMet(ofReceiver, peak(mib)))).toEqual([true, false])
      expect([256, 257].map((mib) => isMet(ofSender, peak(mib)))).toEqual([true, false])
    }
  })

  it('limit how time grows from one receiver to 16', () => {
    const slow: Scenario = { ...BASE, imageMib: 128, maxBitsPerSec: 100e6 }
    const grown = (ms: number): boolean | undefined =>
      isMet(
        'time, over that with 1 receiver',
        timed('skilfish', { ...slow, receiverCount: 1 }, 10_000),
        timed('skilfish', { ...slow, receiverCount: 16 }, ms),
      )
    expect([10_500, 10_501].map(grown)).toEqual([true, false])
  })

  it('limit the start by its median', () => {
    const judge = (start: StartSummary): (boolean | undefined)[] =>
      judgeBars(
        BARS.filter(({ needsStart }) => needsStart),
        { ...NOTHING, start },
      ).map(({ isMet: met }) => met)
    const start = {
      receiverReadyMs: spreadOf([1, 200, 900]),
      firstDataMs: spreadOf([1, 300, 900]),
      nodeMs: spreadOf([40]),
      failures: [],
    }
    expect(judge(start)).toEqual([true, true])
    expect(judge({ ...start, firstDataMs: spreadOf([301]) })).toEqual([false, true])
    expect(judge({ ...start, receiverReadyMs: spreadOf([201]) })).toEqual([true, false])
  })
})
