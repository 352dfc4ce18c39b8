import { describe, expect, it } from 'vitest'
import { findLosslessRate, type RateTry } from '../../../bench/peers/rate-search.ts'

/** A machine that can send at `fastest` and loses above `limit`; `caps` are what it was asked for. */
function machine(fastest: number, limit: number) {
  const caps: (number | undefined)[] = []
  const attempt = (capBitsPerSec?: number): Promise<RateTry> => {
    caps.push(capBitsPerSec)
    const bitsPerSec = Math.min(fastest, capBitsPerSec ?? Infinity)
    const cap = capBitsPerSec === undefined ? {} : { capBitsPerSec }
    return Promise.resolve({ ...cap, bitsPerSec, isLossless: bitsPerSec <= limit })
  }
  return { caps, attempt }
}

describe('findLosslessRate', () => {
  it('is content with the fastest when that loses nothing', async () => {
    const { caps, attempt } = machine(1000, 2000)
    expect(await findLosslessRate(attempt)).toEqual({ bitsPerSec: 1000, isLossless: true })
    expect(caps).toEqual([undefined])
  })

  it.each([950, 800, 640, 300, 100])('comes within a tenth of a limit of %d below the fastest', async (limit) => {
    const { caps, attempt } = machine(1000, limit)
    const { bitsPerSec, isLossless } = (await findLosslessRate(attempt))!
    expect(isLossless).toBe(true)
    expect(bitsPerSec).toBeGreaterThan(limit * 0.9)
    expect(caps.length).toBeLessThanOrEqual(10)
  })

  it('gives up where everything is lost', async () => {
    const { caps, attempt } = machine(1000, 0)
    expect(await findLosslessRate(attempt)).toBeUndefined()
    expect(caps).toHaveLength(10)
  })

  it('looks around what is known: a little higher first, then lower', async () => {
    const known = { capBitsPerSec: 800, bitsPerSec: 790, isLossless: true }
    const better = machine(1000, 900)
    expect((await findLosslessRate(better.attempt, known))?.bitsPerSec).toBe(840)
    const worse = machine(1000, 730)
    expect((await findLosslessRate(worse.attempt, known))?.bitsPerSec).toBe(720)
    expect(worse.caps).toEqual([840, 800, 760, 720])
    expect(await findLosslessRate(machine(1000, 100).attempt, known)).toBeUndefined()
  })

  it('looks below the fastest when that was lossless before and is not now', async () => {
    const { caps, attempt } = machine(1000, 960)
    expect((await findLosslessRate(attempt, { bitsPerSec: 1000, isLossless: true }))?.bitsPerSec).toBe(950)
    expect(caps).toEqual([undefined, 1000, 950])
  })

  it('ends where the machine cannot reach a cap', async () => {
    const caps: (number | undefined)[] = []
    // Paced it reaches 500 at the most, and loses nothing then.
    const found = await findLosslessRate((capBitsPerSec) => {
      caps.push(capBitsPerSec)
      const bitsPerSec = capBitsPerSec === undefined ? 1000 : Math.min(capBitsPerSec, 500)
      return Promise.resolve({ bitsPerSec, isLossless: capBitsPerSec !== undefined })
    })
    expect(found?.bitsPerSec).toBe(500)
    expect(caps.length).toBeLessThanOrEqual(10)
  })
})
