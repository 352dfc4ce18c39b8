import { describe, expect, test } from 'vitest'
import { outcomes, simulate, simulateSuccess } from './scenario.ts'
import type { World, WorldReceiver, WorldSpec } from './world.ts'

/** 16 MiB at up to 40 Mbit/s, about 3.6 s; the slow receiver's disk, or its link, takes a tenth of that. */
const SPEC: Omit<WorldSpec, 'seed' | 'receivers'> = { dataBytes: 16_777_216, limitUs: 300_000_000 }
const RATE = 40_000_000

const SLOW_DISK: WorldReceiver = { diskBytesPerSec: RATE / 8 / 10 }
const SLOW_LINK: WorldReceiver = { path: { down: { bitsPerSec: RATE / 10, queueBytes: 65_536 } } }

function withSlowOne(slow: WorldReceiver, sender: WorldSpec['sender']): WorldSpec {
  return { ...SPEC, seed: 3, sender: { maxBitrate: RATE, windowSlices: 32, ...sender }, receivers: [{}, {}, {}, slow] }
}

const endedUs = (world: World, index: number): number => world.receivers[index]!.outcome!.atUs

describe.each([
  ['a slow disk', SLOW_DISK],
  ['a slow link', SLOW_LINK],
] as const)('%s', (_, slow) => {
  const alone = simulate({ ...withSlowOne(slow, {}), receivers: [{}, {}, {}] })

  test('with defer does not hold the others up, and is mended afterwards', () => {
    const world = simulateSuccess(withSlowOne(slow, { onSlow: 'defer' }))
    for (const index of [0, 1, 2]) expect(endedUs(world, index)).toBeLessThan(1.8 * endedUs(alone, index))
    // It cannot be faster than its disk or link; it should not need many times as long.
    expect(endedUs(world, 3)).toBeGreaterThan(30_000_000)
    expect(endedUs(world, 3)).toBeLessThan(90_000_000)
  })

  test('with wait is waited for: nobody is much faster than it', () => {
    const world = simulateSuccess(withSlowOne(slow, { onSlow: 'wait' }))
    expect(endedUs(world, 0)).toBeGreaterThan(10_000_000)
    expect(endedUs(world, 3)).toBeLessThan(90_000_000)
  })

  test('with drop is dropped by name, and the others go on', () => {
    const world = simulate(withSlowOne(slow, { onSlow: 'drop' }))
    expect(outcomes(world)).toEqual(['complete', 'complete', 'complete', 'RECEIVER_DROPPED'])
    expect(world.sender.outcome).toMatchObject({ failed: 'RECEIVERS_FAILED' })
    expect(world.sender.outcome!.text).toContain('receiver-3')
    for (const index of [0, 1, 2]) expect(endedUs(world, index)).toBeLessThan(endedUs(alone, index) + 8_000_000)
  })

  test('with a pipe is waited for: its data must not be lost', () => {
    simulateSuccess(withSlowOne(slow, { canReread: false }))
  })

  test('as the only receiver gets the image at its own speed', () => {
    const world = simulateSuccess({ ...withSlowOne(slow, {}), receivers: [slow] })
    expect(endedUs(world, 0)).toBeLessThan(80_000_000)
  })
})

describe('with defer, a disk that nothing is lost at', () => {
  const withDisk = (diskBytesPerSec: number): WorldSpec => {
    const spec = withSlowOne({ diskBytesPerSec }, { onSlow: 'defer' })
    return { ...spec, dataBytes: 2 * spec.dataBytes! }
  }
  const alone = simulate(withDisk(RATE))

  test('is known for slow by its pace, within seconds of its buffers being full', () => {
    const world = simulateSuccess(withDisk(RATE / 8 / 10))
    for (const index of [0, 1, 2]) expect(endedUs(world, index)).toBeLessThan(1.2 * endedUs(alone, index))
  })

  test('is waited for when it takes more than half', () => {
    const world = simulateSuccess(withDisk((0.65 * RATE) / 8))
    for (const index of [0, 1, 2]) expect(endedUs(world, index)).toBeGreaterThan(1.2 * endedUs(alone, index))
  })
})

test('with every policy nobody is dropped or deferred when all are equally slow', () => {
  for (const onSlow of ['wait', 'defer', 'drop'] as const) {
    const spec = withSlowOne(SLOW_DISK, { onSlow })
    simulateSuccess({ ...spec, dataBytes: 4_194_304, receivers: [SLOW_DISK, SLOW_DISK, SLOW_DISK] })
  }
})

test('slices that fail their digest come again, and too many fail the receiver alone', () => {
  const some = simulateSuccess({ seed: 1, receivers: [{ rejectFirst: 5 }, {}] })
  expect(some.receivers[0]!.rejectedCount).toBe(5)
  const all = simulate({ seed: 1, receivers: [{ rejectFirst: Infinity }, {}] })
  expect(outcomes(all)).toEqual(['DIGEST_MISMATCH', 'complete'])
  // The sender hears of it at once.
  expect(all.sender.outcome?.text).toMatch(/receiver-0 \(slice \d+ has failed its digest 8 times\)$/)
  expect(all.nowUs).toBeLessThan(2_000_000)
})

test('a slice that fails its digest in sequence costs no more than what the target had of those behind it', () => {
  const path = { down: { lossRatio: 0.01, delayUs: 1000 }, up: { delayUs: 1000 } }
  for (const seed of [1, 2, 3]) {
    const run = (rejectFirst: number): World => {
      // A disk that is a little slower than the rate: several slices wait for it.
      const receivers = [{ isSequential: true, bufferSlices: 16, diskBytesPerSec: 3_000_000, rejectFirst }]
      return simulateSuccess({ seed, path, receivers, dataBytes: 8_388_608, sender: { maxBitrate: 30_000_000 } })
    }
    const [sound, bad] = [run(0), run(1)]
    expect(bad.receivers[0]!.machine.stats().rejectedSlices).toBe(1)
    expect(bad.receivers[0]!.outOfTurnCount).toBeLessThan(16)
    expect(bad.nowUs).toBeLessThan(1.2 * sound.nowUs)
  }
})

test('few buffers suffice, in any order and in sequence', () => {
  for (const isSequential of [false, true]) {
    const receivers = [{ bufferSlices: 8, isSequential }, { isSequential }]
    simulateSuccess({ seed: 1, path: { down: { lossRatio: 0.05, delayUs: 1000 }, up: { delayUs: 1000 } }, receivers })
  }
})
