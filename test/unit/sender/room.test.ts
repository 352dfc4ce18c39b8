import { describe, expect, test } from 'vitest'
import { HandDriven, nack, receiver, SYMBOLS, underway } from './hand-driven.ts'

describe('room for frames', () => {
  test('holds at most the window in memory', () => {
    const driven = underway(100, 1)
    expect(driven.released.length).toBeGreaterThanOrEqual(100 - 16)
    expect(driven.released.length).toBeLessThanOrEqual(100 - 8)
  })

  test('with defer, waits for nobody', () => {
    const driven = underway(100, 2)
    driven.until(1_500_000)
    expect(driven.data.at(-1)).toMatchObject({ slice: 99 })
  })

  test.each([
    ['wait', { onSlow: 'wait' }],
    ['a pipe', { canReread: false }],
  ] as const)('with %s, holds what a live receiver has not settled', (_, options) => {
    const driven = underway(100, 2, options)
    const last = () => driven.data.at(-1)!.slice
    expect(last()).toBe(15)
    driven.report(1, { settledBelow: 15 })
    expect(last()).toBe(15)
    driven.report(2, { settledBelow: 4 })
    driven.until(2_000_000)
    expect(last()).toBe(19)
    driven.hear({ kind: 'leave', receiver: receiver(2), name: 'host-2', reason: 'bored' })
    driven.until(3_000_000)
    expect(last()).toBe(30)
  })

  test.each([
    ['wait', { onSlow: 'wait' }],
    ['a pipe', { canReread: false }],
  ] as const)('with %s, does not hold it for more than 10 minutes for one that settles nothing', (_, options) => {
    const driven = underway(100, 3, { ...options, receiverTimeoutUs: 700_000_000 })
    driven.report(1, { settledCount: 16, settledBelow: 16 })
    driven.report(3, { settledCount: 15, settledBelow: 15 })
    // Settles all but the first slice.
    driven.report(2, { settledCount: 15, settledBelow: 0 })
    driven.until(590_000_000)
    expect(driven.data.at(-1)!.slice).toBe(15)
    expect(driven.said('abort')).toEqual([])
    driven.until(610_000_000)
    expect(driven.said('abort')).toMatchObject([{ receiver: receiver(2), reason: 'too-slow' }])
    // Who holds it up from now on has as long.
    driven.until(620_000_000)
    const states = [{ state: 'live' }, { reason: 'settled no slice for 600 s' }, { state: 'live' }]
    expect(driven.machine.receivers()).toMatchObject(states)
  })

  test('with a pipe that stalled for long, gives those time who settle what comes then', () => {
    const driven = new HandDriven(100, { canReread: false, receiverTimeoutUs: 3_000_000_000 })
    driven.join(1)
    // Nothing is fed.
    while (driven.nowUs < 700_000_000) {
      driven.nowUs = driven.machine.pollTimeout()!
      driven.machine.handleTimeout(driven.nowUs)
      driven.drain()
    }
    driven.report(1, {})
    driven.until(driven.nowUs + 60_000_000)
    expect(driven.data.at(-1)!.slice).toBe(15)
    expect(driven.said('abort')).toEqual([])
  })

  test('with wait, does not wait for a late receiver that lacks what is gone', () => {
    const driven = underway(100, 1, { onSlow: 'wait' })
    driven.report(1, { settledBelow: 10 })
    driven.join(2)
    driven.report(1, { settledBelow: 40 })
    driven.until(2_000_000)
    expect(driven.data.at(-1)).toMatchObject({ slice: 55 })
  })

  test('with drop, drops who holds the others up for 2 s', () => {
    const driven = underway(100, 2, { onSlow: 'drop' })
    for (let time = 1; time < 30; time++) {
      driven.until(1_000_000 + time * 100_000)
      driven.report(1, { settledBelow: 16 })
      if (driven.outcome === undefined && driven.said('abort').length === 0) {
        driven.report(2, { settledBelow: 0 })
      }
    }
    expect(driven.said('abort')).toMatchObject([{ receiver: receiver(2), reason: 'too-slow' }])
    expect(driven.machine.receivers()).toMatchObject([{ state: 'live' }, { state: 'dropped' }])
    expect(driven.data.at(-1)!.slice).toBeGreaterThan(16)
  })

  test('with drop, spares who has not reported yet, and all when all are as slow', () => {
    const silent = underway(100, 2, { onSlow: 'drop' })
    const slow = underway(100, 2, { onSlow: 'drop' })
    for (let time = 1; time < 40; time++) {
      for (const driven of [silent, slow]) driven.until(1_000_000 + time * 100_000)
      silent.report(1, { settledBelow: 16 })
      for (const low of [1, 2]) slow.report(low, { settledBelow: 0, queuePercent: 100 })
    }
    expect([...silent.said('abort'), ...slow.said('abort')]).toEqual([])
  })

  test('does not take a NACK of a pipe for new that comes again when its slices are settled and gone', () => {
    const driven = underway(100, 1, { canReread: false })
    const copy = nack(1, { deficits: [{ slice: 3, deficit: 2, heard: 12 }], missing: [{ first: 2, count: 5 }] })
    driven.hear(copy)
    driven.report(1, { settledBelow: 10 })
    driven.until(2_000_000)
    expect(driven.data.at(-1)!.slice).toBe(25)
    const { paritySymbols, resentSymbols } = driven.machine.stats()
    driven.hear(copy)
    driven.until(3_000_000)
    expect(driven.said('abort')).toEqual([])
    expect(driven.machine.receivers()).toMatchObject([{ state: 'live' }])
    expect(driven.machine.stats()).toMatchObject({ paritySymbols, resentSymbols })
    // What it has not said to have settled, and is there, it may ask for as before.
    driven.hear(nack(1, { missing: [{ first: 8, count: 4 }] }))
    driven.until(3_500_000)
    expect(driven.machine.stats().paritySymbols).toBe(paritySymbols + 2 * SYMBOLS)
  })

  test('tells a late receiver that a pipe cannot be read again, and only that one', () => {
    const driven = underway(100, 1, { canReread: false })
    driven.report(1, { settledBelow: 10 })
    driven.join(2)
    driven.hear(nack(2, { missing: [{ first: 0, count: 12 }] }))
    expect(driven.said('abort')).toMatchObject([{ receiver: receiver(2), reason: 'data-gone' }])
    expect(driven.machine.receivers()).toMatchObject([{ state: 'live' }, { state: 'dropped' }])
    expect(driven.events.some((event) => event.kind === 'again')).toBe(false)
    expect(driven.machine.stats().slicesDeferred).toBe(0)
    // The first word may be lost: it is told the same again.
    driven.hear(nack(2, { missing: [{ first: 0, count: 12 }] }))
    expect(driven.said('abort').at(-1)).toMatchObject({ receiver: receiver(2), reason: 'data-gone' })
  })
})
