import { describe, expect, it } from 'vitest'
import { BARS } from '../../../bench/peers/bars.ts'
import {
  estimateMemoryMib,
  estimateSeconds,
  planAxes,
  planBars,
  planPoint,
  type Plan,
} from '../../../bench/peers/plan.ts'
import { BASE, describeScenario, isSameCase, type ProgramName, type Scenario } from '../../../bench/peers/scenario.ts'

const has = (plan: Plan, program: ProgramName, axes: Partial<Scenario> = {}): boolean =>
  plan.cases.some((planned) => isSameCase(planned, { program, scenario: { ...BASE, ...axes } }))

describe('a plan', () => {
  it.each([planBars(), planAxes()])('has each case once, programs of one scenario in turn: $name', ({ cases }) => {
    const texts = cases.map(({ program, scenario }) => `${program}, ${describeScenario(scenario)}`)
    expect(new Set(texts).size).toBe(texts.length)
    const scenarios = cases.map(({ scenario }) => describeScenario(scenario))
    const changes = scenarios.filter((text, index) => text !== scenarios[index - 1])
    expect(new Set(changes).size).toBe(changes.length)
  })

  it('of the bars has what they need and no more', () => {
    const { cases, bars, measuresStart } = planBars()
    expect(bars).toEqual(BARS)
    expect(measuresStart).toBe(true)
    for (const bar of BARS)
      for (const needed of bar.cases) expect(cases.some((one) => isSameCase(one, needed))).toBe(true)
    for (const planned of cases)
      expect(BARS.some((bar) => bar.cases.some((needed) => isSameCase(planned, needed)))).toBe(true)
  })

  it('of some bars leaves out what only others need, and has a name of its own', () => {
    const plan = planBars(BARS.filter(({ label }) => label.includes('raw-limit')))
    expect(plan.cases.map(({ program }) => program)).toEqual(['skilfish', 'raw-limit'])
    expect(plan.measuresStart).toBe(false)
    expect(plan.bars.every(({ needsStart }) => !needsStart)).toBe(true)
    expect(plan.name).not.toBe(planBars().name)
  })

  it('of the axes varies each by itself', () => {
    const plan = planAxes()
    for (const receiverCount of [1, 2, 4, 8, 16]) {
      for (const program of ['skilfish', 'udpcast', 'uftp', 'raw-limit'] as const)
        expect(has(plan, program, { receiverCount })).toBe(true)
    }
    for (const axes of [
      ...[{ lossPercent: 1 }, { lossPercent: 5 }, { mtuBytes: 9000 }, { maxBitsPerSec: 320e6 }],
      ...(['rootfs', 'holes'] as const).map((data) => ({ data, imageMib: 4096 })),
    ]) {
      expect(has(plan, 'skilfish', axes)).toBe(true)
      expect(has(plan, 'udpcast', axes)).toBe(true)
    }
    expect(has(plan, 'skilfish-no-offload')).toBe(true)
    const base = Object.entries(BASE)
    for (const { scenario } of plan.cases) {
      const varied = { maxBitsPerSec: undefined, ...scenario, ...(scenario.data === 'random' ? {} : { imageMib: 512 }) }
      const differing = Object.entries(varied).filter(([name, value]) => value !== new Map(base).get(name))
      expect(differing.length).toBeLessThanOrEqual(1)
    }
  })

  it('of one point has the programs that were asked for, and the bars that they can tell', () => {
    const { cases, bars } = planPoint(['skilfish', 'uftp'], BASE)
    expect(cases).toEqual([
      { program: 'skilfish', scenario: BASE },
      { program: 'uftp', scenario: BASE },
    ])
    expect(bars.map(({ label }) => label)).toContain(
      'skilfish, times as fast as uftp: 4 receivers, 0 % loss, random 512 MiB',
    )
    expect(planPoint(['skilfish', 'uftp'], { ...BASE, receiverCount: 3 }).bars).toEqual([])
  })
})

describe('estimates', () => {
  const seconds = (program: ProgramName, axes: Partial<Scenario> = {}): number =>
    estimateSeconds({ program, scenario: { ...BASE, ...axes } })

  it('of time grow with receivers and sizes, and know caps', () => {
    expect(seconds('udpcast', { receiverCount: 8 })).toBeGreaterThan(seconds('udpcast'))
    expect(seconds('udpcast', { imageMib: 1024 })).toBeGreaterThan(seconds('udpcast') * 1.5)
    // 512 MiB at 10 Mbit/s are 430 s.
    expect(seconds('skilfish', { maxBitsPerSec: 10e6 })).toBeGreaterThan(429)
  })

  it('of memory count images once and the copies of the largest case', () => {
    const both = planPoint(['skilfish', 'udpcast'], { ...BASE, receiverCount: 3 })
    expect(estimateMemoryMib(both)).toBe(512 + 3 * 512)
    const rootfs: Scenario = { ...BASE, data: 'rootfs', imageMib: 4096 }
    expect(estimateMemoryMib(planPoint(['skilfish'], rootfs))).toBe(512 + 4 * 512)
    expect(estimateMemoryMib(planPoint(['skilfish', 'udpcast'], rootfs))).toBe(512 + 4 * 4096)
    expect(estimateMemoryMib(planPoint(['raw-limit'], BASE))).toBe(512)
  })
})
