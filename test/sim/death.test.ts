import { describe, expect, test } from 'vitest'
import { outcomes, simulate, simulateSuccess } from './scenario.ts'
import type { Incident, World, WorldSpec } from './world.ts'

const SPEC: Omit<WorldSpec, 'seed' | 'receivers'> = {
  path: { down: { lossRatio: 0.02 }, up: { lossRatio: 0.02 } },
  sender: { maxBitrate: 30_000_000, receiverTimeoutUs: 2_000_000 },
}

/** Moments of a session. */
const MOMENTS: Readonly<Record<string, (world: World) => boolean>> = {
  'before the session begins': (world) => world.nowUs >= 10_000,
  'while receivers gather': (world) => world.sender.machine.receivers().length === world.receivers.length,
  'at the first slice': (world) => world.sender.machine.stats().slicesBegun > 0,
  'in the middle': (world) => world.sender.machine.stats().slicesBegun >= world.image.frames.length / 2,
  'at the last slice': (world) => world.sender.machine.stats().slicesBegun === world.image.frames.length,
  'while it is mended': (world) => world.sender.machine.stats().phase === 'mending',
  'when the first has everything': (world) => world.receivers.some((receiver) => receiver?.settledCount === 16),
}

const at = (moment: string, then: (world: World) => void): Incident => ({ when: MOMENTS[moment]!, then })

describe('a receiver that dies', () => {
  test.each(Object.keys(MOMENTS))('%s is dropped and named, the others are unharmed', (moment) => {
    for (const seed of [1, 2]) {
      const incidents = [at(moment, (world) => world.killReceiver(1))]
      const world = simulate({ ...SPEC, seed, receivers: [{}, {}, {}, {}], incidents })
      expect(outcomes(world)).toEqual(['complete', 'running', 'complete', 'complete'])
      const { failed, text } = world.sender.outcome!
      // One that had not yet joined, or was already done, is none of the sender's business.
      if (failed !== undefined)
        expect([failed, text]).toEqual(['RECEIVERS_FAILED', expect.stringContaining('receiver-1')])
      else expect(['before the session begins', 'when the first has everything']).toContain(moment)
    }
  })

  test.each(Object.keys(MOMENTS))('%s and comes back gets the whole image', (moment) => {
    for (const seed of [1, 2]) {
      const incidents = [
        at(moment, (world) => {
          world.killReceiver(1)
          world.startReceiver(1)
        }),
      ]
      const world = simulate({ ...SPEC, seed, receivers: [{}, {}, {}], incidents })
      expect(outcomes(world)).toEqual(['complete', 'complete', 'complete'])
    }
  })

  test.each(Object.keys(MOMENTS))('%s as the only one ends the session', (moment) => {
    const incidents = [at(moment, (world) => world.killReceiver(0))]
    const sender = { ...SPEC.sender, startTimeoutUs: 3_000_000 }
    const world = simulate({ ...SPEC, sender, seed: 1, receivers: [{}], incidents })
    expect(['RECEIVERS_FAILED', 'NO_RECEIVERS']).toContain(world.sender.outcome!.failed)
  })

  test('of its own accord says so: nobody waits for it', () => {
    const incidents = [at('in the middle', (world) => world.receivers[1]!.leave(world.nowUs))]
    const world = simulate({ ...SPEC, path: {}, seed: 1, receivers: [{}, {}], incidents })
    expect(outcomes(world)).toEqual(['complete', 'running'])
    expect(world.sender.outcome!.text).toContain('stopped by the test')
    expect(world.nowUs).toBeLessThan(1_500_000)
  })
})

describe('a sender that dies', () => {
  test.each(Object.keys(MOMENTS))('%s fails every receiver by name, or leaves it complete', (moment) => {
    for (const seed of [1, 2]) {
      const incidents = [at(moment, (world) => world.sender.kill())]
      const world = simulate({
        ...SPEC,
        seed,
        receivers: [{ startTimeoutUs: 5e6 }, { startTimeoutUs: 5e6 }],
        incidents,
      })
      for (const outcome of outcomes(world)) expect(['complete', 'SENDER_LOST', 'NO_SENDER']).toContain(outcome)
      const mayBeComplete = ['while it is mended', 'when the first has everything'].includes(moment)
      if (!mayBeComplete) expect(outcomes(world)).not.toContain('complete')
    }
  })

  test.each(Object.keys(MOMENTS))('%s and comes back goes on with the same receivers', (moment) => {
    for (const seed of [1, 2]) {
      const incidents = [
        at(moment, (world) => {
          world.sender.kill()
          world.schedule(world.nowUs + 2_500_000, () => world.startSender())
        }),
      ]
      // When all were complete already, the second sender finds nobody.
      const sender = { ...SPEC.sender, startTimeoutUs: 3_000_000 }
      const world = simulate({ ...SPEC, seed, sender, receivers: [{}, {}, {}], incidents })
      expect(outcomes(world)).toEqual(['complete', 'complete', 'complete'])
    }
  })

  test.each(Object.keys(MOMENTS))('%s on purpose tells its receivers', (moment) => {
    for (const seed of [1, 2]) {
      const incidents = [at(moment, (world) => world.sender.abort(world.nowUs))]
      const world = simulate({
        ...SPEC,
        seed,
        receivers: [{ startTimeoutUs: 5e6 }, { startTimeoutUs: 5e6 }],
        incidents,
      })
      for (const outcome of outcomes(world)) expect(['complete', 'SENDER_ABORTED', 'NO_SENDER']).toContain(outcome)
      expect(world.sender.outcome!.failed).toBe('INTERRUPTED')
    }
  })
})

test('a network that is cut in two ends with names on both sides', () => {
  const incidents = [at('in the middle', (world) => world.network.plug(1, false))]
  const world = simulate({ ...SPEC, seed: 1, receivers: [{}, {}], incidents })
  expect(outcomes(world)).toEqual(['complete', 'SENDER_LOST'])
  expect(world.sender.outcome).toMatchObject({ failed: 'RECEIVERS_FAILED' })
})

test('a network that is cut for a second goes on', () => {
  const incidents = [
    at('in the middle', (world) => {
      world.network.plug(1, false)
      world.schedule(world.nowUs + 1_000_000, () => world.network.plug(1, true))
    }),
  ]
  simulateSuccess({ ...SPEC, seed: 1, receivers: [{}, {}], incidents })
})
