import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../src/random.ts'
import { ProactiveParity } from '../../../src/sender/machine/proactive-parity.ts'

const GROUP = 1000

/** Sends slices that need so much parity each, as NACKs tell 10 slices later. Gives what was sent beyond the need, and how often was asked. */
function send(parity: ProactiveParity, needs: readonly number[], first = 0): { waste: number; askedCount: number } {
  const sourceCount = 182
  let waste = 0
  let askedCount = 0
  for (const [index, need] of needs.entries()) {
    const slice = first + index
    const count = parity.symbolCount(sourceCount, GROUP)
    parity.noteSent(slice, slice, sourceCount, count)
    if (need > count) {
      askedCount++
      parity.noteDeficit(slice, need - count)
    } else waste += count - need
    parity.learn(slice - 10)
  }
  return { waste, askedCount }
}

const constant = (need: number, length = 200): number[] => Array.from({ length }, () => need)

describe('parity sent unasked', () => {
  test('comes to what every slice needs, and no more', () => {
    const parity = new ProactiveParity('auto')
    expect(parity.symbolCount(182, GROUP)).toBe(0)
    expect(send(parity, constant(9)).waste).toBe(0)
    expect(parity.symbolCount(182, GROUP)).toBeGreaterThanOrEqual(8)
    expect(parity.symbolCount(182, GROUP)).toBeLessThanOrEqual(9)
  })

  test('wastes little where needs differ, and spares many NACKs', () => {
    const random = seededRandom(1)
    const needs = Array.from({ length: 2000 }, () => 7 + Math.floor(4 * random()))
    const { waste, askedCount } = send(new ProactiveParity('auto'), needs)
    expect(waste).toBeLessThan(0.08 * needs.reduce((sum, need) => sum + need, 0))
    expect(askedCount).toBeLessThan(0.75 * needs.length)
  })

  test('is learned of the slices behind those that were spared, too', () => {
    const parity = new ProactiveParity('auto')
    // Slices of which nothing is known yet when the gap comes, and after it.
    for (let slice = 0; slice < 5; slice++) parity.noteSent(slice, slice, 182, 0)
    expect(send(parity, constant(9), 500).waste).toBe(0)
    expect(parity.symbolCount(182, GROUP)).toBeGreaterThanOrEqual(8)
    parity.noteDeficit(250, 40)
    expect(parity.symbolCount(182, GROUP)).toBeLessThanOrEqual(9)
  })

  test('goes away when nothing is lost any more', () => {
    const parity = new ProactiveParity('auto')
    send(parity, constant(9))
    const { waste } = send(parity, constant(0), 200)
    expect(waste).toBeLessThan(400)
    expect(parity.symbolCount(182, GROUP)).toBe(0)
  })

  test('is hardly moved by one slice that lost very much, nor by a receiver that has nothing', () => {
    const parity = new ProactiveParity('auto')
    send(parity, [...constant(0, 50), 70, ...constant(0, 11)])
    expect(parity.symbolCount(182, GROUP)).toBeLessThanOrEqual(2)
    send(parity, constant(182), 62)
    expect(parity.symbolCount(182, GROUP)).toBe(0)
    send(parity, constant(50), 262)
    expect(parity.symbolCount(182, GROUP)).toBe(0)
  })

  test('is no more than a quarter, however much is asked for', () => {
    const parity = new ProactiveParity('auto')
    for (let slice = 0; slice < 500; slice++) {
      parity.noteSent(slice, slice, 182, parity.symbolCount(182, GROUP))
      parity.noteDeficit(slice, 45)
      parity.learn(slice)
    }
    expect(parity.symbolCount(182, GROUP)).toBe(45)
  })

  test('is less for slices of fewer symbols, but not in proportion', () => {
    const parity = new ProactiveParity('auto')
    send(parity, constant(9))
    expect(parity.symbolCount(45, GROUP)).toBe(4)
    expect(parity.symbolCount(1, GROUP)).toBe(0)
  })

  test('leaves a small group alone', () => {
    const parity = new ProactiveParity('auto')
    send(parity, constant(9))
    expect(parity.symbolCount(182, 8)).toBe(0)
    expect(parity.symbolCount(182, 9)).toBeGreaterThan(0)
  })

  test('is as the caller says, within the symbols that there are', () => {
    expect(new ProactiveParity(10).symbolCount(182, 1)).toBe(19)
    expect(new ProactiveParity(100).symbolCount(182, 1)).toBe(73)
    const off = new ProactiveParity('off')
    send(off, constant(9))
    expect(off.symbolCount(182, GROUP)).toBe(0)
  })

  test('of slices whose need is never told keeps no more than a bounded memory, and takes them for mended', () => {
    const parity = new ProactiveParity('auto')
    send(parity, constant(9))
    for (let slice = 200; slice < 3200; slice++) parity.noteSent(Infinity, slice, 182, 9)
    expect(parity.symbolCount(182, GROUP)).toBe(0)
  })
})
