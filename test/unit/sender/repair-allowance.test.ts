import { describe, expect, test } from 'vitest'
import { ALLOWANCE_US, RepairAllowance } from '../../../src/sender/machine/repair-allowance.ts'

const SYMBOLS_PER_SEC = 10_000

/** Symbols that each address is granted in ten seconds in which all of them ask for everything, ten times a second. */
function granted(addresses: readonly string[], leastSharerCount = 1): number[] {
  const allowance = new RepairAllowance(1)
  const counts = addresses.map(() => 0)
  for (let nowUs = 0; nowUs < 10_000_000; nowUs += 100_000) {
    for (const [index, address] of addresses.entries()) {
      allowance.open(nowUs, address, SYMBOLS_PER_SEC, leastSharerCount)
      for (; allowance.isOpen; counts[index]!++) allowance.take(1)
    }
  }
  return counts
}

describe('RepairAllowance', () => {
  const whole = 9.9 * SYMBOLS_PER_SEC

  test('grants one address the whole rate, and at first what is sent in 2.5 s', () => {
    expect(granted(['a'])[0]).toBeCloseTo(whole + (ALLOWANCE_US / 1e6) * SYMBOLS_PER_SEC, -3)
  })

  test('shares it evenly, also among a great many', () => {
    for (const count of [2, 3, 50]) {
      const counts = granted(Array.from({ length: count }, (_, index) => `host-${index}`))
      // Those who ask first are not known to be many yet.
      for (const symbols of counts) expect(symbols).toBeGreaterThanOrEqual(Math.floor(whole / count))
      expect(Math.max(...counts)).toBeLessThan(1.1 * Math.min(...counts))
    }
  })

  test('grants one address no more than its part where others are to be thought of', () => {
    expect(granted(['a'], 4)[0]).toBeCloseTo((whole + (ALLOWANCE_US / 1e6) * SYMBOLS_PER_SEC) / 4, -3)
  })

  test('grants all again to one that is left alone', () => {
    const allowance = new RepairAllowance(1)
    for (const address of ['a', 'b']) allowance.open(0, address, SYMBOLS_PER_SEC, 1)
    let symbols = 0
    for (let nowUs = 100_000; nowUs <= 12_000_000; nowUs += 100_000) {
      allowance.open(nowUs, 'a', SYMBOLS_PER_SEC, 1)
      for (; allowance.isOpen; symbols++) allowance.take(1)
      if (nowUs === 7_000_000) symbols = 0
    }
    expect(symbols).toBeCloseTo(5 * SYMBOLS_PER_SEC, -3)
  })
})
