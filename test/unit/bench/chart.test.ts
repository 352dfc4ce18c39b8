import { describe, expect, it } from 'vitest'
import { formatChart } from '../../../bench/peers/chart.ts'
import { BASE, type ProgramName } from '../../../bench/peers/scenario.ts'
import { spreadOf } from '../../../bench/peers/statistics.ts'
import type { CaseSummary } from '../../../bench/peers/summary.ts'
import { failed, summaryOf } from './summaries.ts'

const timed = (program: ProgramName, ...seconds: number[]): CaseSummary =>
  summaryOf(program, BASE, { wholeRunMs: spreadOf(seconds.map((value) => value * 1000)) })

/** Every value of an attribute, as numbers. */
const numbers = (svg: string, pattern: RegExp): number[] => [...svg.matchAll(pattern)].map(([, value]) => Number(value))

describe('formatChart', () => {
  it('puts equal ratios at equal distances, in order', () => {
    const svg = formatChart([timed('udpcast', 1), timed('udpcast-eager', 10), timed('uftp', 100)])
    const [one, ten, hundred] = numbers(svg, /<circle [^>]*cx="([\d.]+)"/g)
    expect(hundred! - ten!).toBeCloseTo(ten! - one!, 0)
    expect(ten!).toBeGreaterThan(one!)
  })

  it('draws from the least to the most, with the median on the line', () => {
    const svg = formatChart([timed('udpcast', 2, 3, 7)])
    const [, x1, x2] = /<line class="peer" x1="([\d.]+)" y1="[\d.]+" x2="([\d.]+)"/.exec(svg) ?? []
    const [median] = numbers(svg, /<circle [^>]*cx="([\d.]+)"/g)
    expect(Number(x1)).toBeLessThan(median!)
    expect(Number(x2)).toBeGreaterThan(median!)
    expect(svg).toContain('>3.00 s<')
  })

  it.each([[[0.3]], [[0.2, 0.5]], [[1]], [[0.9, 8, 130]], [[999, 1001]]])(
    'has everything inside an axis with at least two ticks: %o s',
    (seconds) => {
      const svg = formatChart([timed('skilfish', ...seconds)])
      const ticks = numbers(svg, /<line class="grid" x1="([\d.]+)"/g)
      expect(ticks.length).toBeGreaterThanOrEqual(2)
      const ends = numbers(svg, /<line class="ours-mark" x1="([\d.]+)"/g).concat(
        numbers(svg, /<line class="ours-mark" [^>]*x2="([\d.]+)"/g),
      )
      for (const x of ends) {
        expect(x).toBeGreaterThanOrEqual(ticks[0]!)
        expect(x).toBeLessThanOrEqual(ticks.at(-1)!)
      }
    },
  )

  it('heads the rows of a scenario once, and says its unit and both color schemes', () => {
    const svg = formatChart([timed('skilfish', 1), timed('udpcast', 2), timed('raw-limit', 1)])
    expect(svg.split('4 receivers, 0 % loss, random 512 MiB')).toHaveLength(2)
    for (const name of ['skilfish', 'udpcast', 'raw-limit']) expect(svg).toContain(`>${name}</text>`)
    expect(svg).toContain('seconds')
    expect(svg).toContain('prefers-color-scheme: dark')
  })

  it('says so where no run succeeded, and can be drawn when none did at all', () => {
    const svg = formatChart([failed('udpcast', BASE)])
    expect(svg).toContain('no run succeeded')
    expect(svg).not.toContain('NaN')
  })
})
