import { describe, expect, test } from 'vitest'
import { outcomes, simulate, simulateSuccess } from './scenario.ts'
import type { Incident, World, WorldSpec } from './world.ts'

/** About half a second of main pass: 32 slices of 64 KiB at 30 Mbit/s, of which 8 stay in memory. */
const SPEC: Omit<WorldSpec, 'seed' | 'receivers'> = {
  dataBytes: 2_097_152,
  sender: { maxBitrate: 30_000_000, windowSlices: 8 },
}

const begun = (share: number) => (world: World) =>
  world.sender.machine.stats().slicesBegun >= share * world.image.frames.length

/** The receiver of that index comes when that share of the image has been sent. */
const joinAt = (index: number, share: number): Incident => ({
  when: begun(share),
  then: (world) => void world.startReceiver(index),
})

const LATE = { joinAtUs: Infinity }

describe('a receiver that comes late', () => {
  test.each([0.1, 0.5, 0.9, 1])('at %d of the main pass gets the whole image', (share) => {
    for (const seed of [1, 2]) {
      const path = { down: { lossRatio: 0.02 } }
      simulateSuccess({ ...SPEC, seed, path, receivers: [{}, {}, LATE], incidents: [joinAt(2, share)] })
    }
  })

  test('is sent no more than what it missed', () => {
    let missed = 0
    const noteMissed: Incident = {
      when: (world) => world.sender.machine.receivers().length === 2,
      then: (world) => (missed = world.sender.machine.stats().slicesBegun / world.image.frames.length),
    }
    const incidents = [joinAt(1, 0.5), noteMissed]
    const world = simulateSuccess({ ...SPEC, seed: 1, receivers: [{}, LATE], incidents })
    const { sourceSymbols, paritySymbols, resentSymbols } = world.sender.machine.stats()
    expect(missed).toBeGreaterThan(0.5)
    expect((paritySymbols + resentSymbols) / sourceSymbols).toBeLessThan(missed + 0.05)
  })

  test('with ten others is mended together with them', () => {
    const receivers = [{}, ...Array.from({ length: 10 }, () => LATE)]
    const incidents = Array.from({ length: 10 }, (_, index) => joinAt(index + 1, 0.5))
    const path = { down: { lossRatio: 0.01 } }
    const world = simulateSuccess({ ...SPEC, seed: 1, path, receivers, incidents })
    const { sourceSymbols, paritySymbols, resentSymbols } = world.sender.machine.stats()
    expect((paritySymbols + resentSymbols) / sourceSymbols).toBeLessThan(0.75)
  })

  test.each(['wait', 'drop'] as const)('does not hold the others up with %s', (onSlow) => {
    const sender = { ...SPEC.sender, onSlow }
    const alone = simulateSuccess({ ...SPEC, seed: 1, sender, receivers: [{}] })
    const world = simulateSuccess({ ...SPEC, seed: 1, sender, receivers: [{}, LATE], incidents: [joinAt(1, 0.5)] })
    expect(world.receivers[0]!.outcome!.atUs).toBeLessThan(1.6 * alone.receivers[0]!.outcome!.atUs)
  })

  test('while the first slices are still in memory does not stop a sender that waits', () => {
    const receivers = [{}, ...Array.from({ length: 8 }, (_, index) => ({ joinAtUs: 330_000 + 10_000 * index }))]
    const path = { down: { delayUs: 30_000 }, up: { delayUs: 30_000 } }
    const sender = { onSlow: 'wait' as const, windowSlices: 8 }
    simulateSuccess({ seed: 1, sliceBytes: 16_384, path, sender, receivers })
  })
})

describe('a pipe without spool', () => {
  const sender = { ...SPEC.sender, canReread: false }

  test('serves those that were there from the start, however small the window', () => {
    const path = { down: { lossRatio: 0.05 }, up: { lossRatio: 0.05 } }
    for (const seed of [1, 2, 3]) simulateSuccess({ ...SPEC, seed, path, sender, receivers: [{}, {}, {}] })
  })

  test.each([0.5, 1])('fails who comes at %d, and only that one, by name', (share) => {
    for (const seed of [1, 2]) {
      const path = { down: { lossRatio: 0.02 } }
      const world = simulate({ ...SPEC, seed, path, sender, receivers: [{}, {}, LATE], incidents: [joinAt(2, share)] })
      expect(outcomes(world)).toEqual(['complete', 'complete', 'DATA_GONE'])
      expect(world.sender.outcome).toMatchObject({ failed: 'RECEIVERS_FAILED' })
      expect(world.sender.outcome!.text).toContain('receiver-2')
    }
  })

  test('serves who comes while everything is still in memory', () => {
    const spec = { ...SPEC, sender: { ...sender, windowSlices: 64 } }
    simulateSuccess({ ...spec, seed: 1, receivers: [{}, LATE], incidents: [joinAt(1, 0.5)] })
  })
})
