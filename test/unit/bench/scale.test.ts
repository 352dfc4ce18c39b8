import { describe, expect, test } from 'vitest'
import { judge } from '../../../bench/scale/bars.ts'
import { formatChart } from '../../../bench/scale/chart.ts'
import { idealExtraRatio, resendExtraRatio } from '../../../bench/scale/ideal.ts'
import { parseLossModel } from '../../../bench/scale/losses.ts'
import { replayParity, replayResend, type Dice } from '../../../bench/scale/replay.ts'
import type { CaseSummary } from '../../../bench/scale/summary.ts'
import { seededRandom } from '../../../src/random.ts'
import { Link } from '../../sim/link.ts'

const dice = (count: number, lossRatio: number): Dice[] =>
  Array.from({ length: count }, (_, index) => new Link({ lossRatio }, seededRandom(index * 7919 + 1)))

/** Loses the packets of those ordinals, from 1. */
const losing = (...ordinals: readonly number[]): Dice => {
  let packet = 0
  return { isLost: () => ordinals.includes(++packet) }
}

describe('what strategies cost', () => {
  // Loss, receivers, parity, resend: percent.
  test.each([
    [0.001, 1, 0.1, 0.1],
    [0.001, 4, 0.3, 0.4],
    [0.001, 64, 0.9, 6.2],
    [0.001, 1000, 1.5, 63],
    [0.001, 10_000, 1.8, 101],
    [0.01, 1, 1.0, 1.0],
    [0.01, 4, 1.8, 4.0],
    [0.01, 64, 3.1, 48],
    [0.01, 1000, 4.2, 110],
    [0.01, 10_000, 5.0, 164],
    [0.05, 1, 5.3, 5.3],
    [0.05, 4, 7.1, 20],
    [0.05, 64, 9.8, 112],
    [0.05, 1000, 11.8, 204],
    [0.05, 10_000, 13.3, 278],
  ])('at a loss of %d to each of %d receivers', (lossRatio, receiverCount, parity, resend) => {
    const group = { lossRatio, receiverCount }
    expect(Math.abs(100 * idealExtraRatio(182, group) - parity)).toBeLessThan(0.06)
    expect(Math.abs(100 * resendExtraRatio(group) - resend)).toBeLessThan(0.51)
  })

  test('is nothing without loss', () => {
    expect(idealExtraRatio(182, { lossRatio: 0, receiverCount: 1000 })).toBe(0)
    expect(resendExtraRatio({ lossRatio: 0, receiverCount: 1000 })).toBe(0)
  })

  test('comes out of the dice as it comes out of the formulas', () => {
    const group = { lossRatio: 0.02, receiverCount: 40 }
    const shape = { sliceCount: 400, sourceCount: 50 }
    const parity = replayParity(shape, dice(40, 0.02)).extraRatio
    expect(parity / idealExtraRatio(50, group)).toBeCloseTo(1, 1)
    const resend = replayResend(shape, dice(40, 0.02)).extraRatio
    expect(resend / resendExtraRatio(group)).toBeCloseTo(1, 1)
  })

  test('is counted by hand for two receivers', () => {
    const shape = { sliceCount: 1, sourceCount: 4 }
    // One loses symbols 0 and 1 and the first repair, the other symbol 2: parity needs three more packets.
    expect(replayParity(shape, [losing(1, 2, 5), losing(3)])).toEqual({ extraRatio: 3 / 4, messageCount: 0 })
    // Resent: symbols 0, 1 and 2, then 0 again. Both answer the slice, both the first round's end but one is ready, then one.
    expect(replayResend(shape, [losing(1, 2, 5), losing(3)])).toEqual({ extraRatio: 4 / 4, messageCount: 2 + 2 + 1 })
  })
})

test('a loss is a percentage or the mix, and nothing else', () => {
  expect(parseLossModel('0.1')).toMatchObject({ name: '0.1', lossRatio: 0.001 })
  expect(parseLossModel('0')).toMatchObject({ lossRatio: 0 })
  expect(parseLossModel('mix')!.lossRatio).toBeUndefined()
  for (const text of ['', ' ', '100', '-1', 'much', '1%']) expect(parseLossModel(text)).toBeUndefined()
})

describe('the bars', () => {
  const summary = (receiverCount: number, given: Partial<CaseSummary>): CaseSummary => ({
    ...{ receiverCount, loss: '1', lossLabel: '1 %', runCount: 1, messageCount: 1, messageCounts: {} },
    ...{ messagesPerSec: 100, busiestSecondCount: 200, extraRatio: 0.05, proactiveRatio: 0, idealExtraRatio: 0.05 },
    ...{ extraBytesRatio: 0.06, firstDataSec: 0.1, lastCompleteSec: 1, endSec: 2 },
    resend: { extraRatio: 1, messageCount: 1000, sendingSec: 2, messagesPerSec: 500 },
    ...given,
  })

  test('are met by a sender that hears the same from all groups and sends no more than it must', () => {
    const bars = judge([summary(64, {}), summary(10_000, {})])
    expect(bars.map(({ measured }) => measured)).toEqual([1, 1, 1, 1])
    expect(bars.every(({ isMet }) => isMet)).toBe(true)
  })

  test('are missed by growth, wherever it is, and by waste', () => {
    const bars = judge([
      summary(64, {}),
      summary(1000, { messagesPerSec: 201, busiestSecondCount: 399 }),
      summary(10_000, { busiestSecondCount: 401, extraRatio: 0.066 }),
    ])
    expect(bars.map(({ isMet }) => isMet)).toEqual([false, false, true, true, false])
  })

  test('say nothing of what was not run, or of groups without loss', () => {
    expect(judge([summary(64, {})])).toHaveLength(1)
    expect(judge([summary(64, { loss: '5' }), summary(1000, { loss: '5' })])).toHaveLength(2)
    expect(judge([summary(64, { loss: '0', extraRatio: 0, idealExtraRatio: 0 })])).toEqual([])
  })

  test('have a chart beside them, with a panel for each kind of loss and no gap in any curve', () => {
    const chart = formatChart(
      [1, 64, 1000].flatMap((count) => [summary(count, {}), summary(count, { loss: '0', extraRatio: 0 })]),
    )
    expect(chart.match(/<polyline/g)).toHaveLength(2 * 8)
    expect(chart).not.toMatch(/NaN|Infinity|undefined/)
  })
})
