// Each invariant of the model can be broken, and is told when it is.
import { describe, expect, test, vi } from 'vitest'
import { chosenSeed, replayable } from '../sim/scenario.ts'
import type { World } from '../sim/world.ts'
import { seedsOf } from './groups.ts'
import type { Bounds } from './invariants.ts'
import { runPlan } from './model.ts'
import { SLICE_BYTES, type Plan } from './schedule.ts'

const MOMENT_US = 200_000

const PLAN: Plan = {
  ...{ seed: 1, delayUs: 200, calmUs: 300_000, dataBytes: 20 * SLICE_BYTES, holeRatio: 0.4, troubles: [] },
  sender: {
    ...{ onSlow: 'defer', windowSlices: 8, canReread: true, fec: 'off', maxBitrate: 10_000_000, minReceivers: 2 },
    ...{ receiverTimeoutUs: 8_000_000, startTimeoutUs: 8_000_000 },
  },
  receivers: [0, 1].map(() => ({
    ...{ path: { down: { delayUs: 200 }, up: { delayUs: 200 } }, staleByte: 0xa5, bufferSlices: 8 },
    ...{ receiveTimeoutUs: 8_000_000, startTimeoutUs: 8_000_000 },
  })),
}

const plan = (strike: (world: World) => void): Plan => ({
  ...PLAN,
  troubles: [{ atUs: MOMENT_US, what: 'sabotage', strike }],
})

/** Spoils a byte that a receiver has settled: it is in slice 0, which begins with data. */
function spoil({ receivers, image }: World, index: number): void {
  const { target, settledCount } = receivers[index]!
  expect(settledCount).toBeGreaterThan(0)
  expect(settledCount).toBeLessThan(image.frames.length)
  const settled = image.frames.findIndex((_, slice) => receivers[index]!.isSettled(slice))
  const [start] = target!.write(image.frames[settled]!, SLICE_BYTES)
  target!.bytes[start]! ^= 1
}

describe('an invariant of the model that is broken is told:', () => {
  test('a plan without sabotage breaks none', () => {
    expect(runPlan(PLAN).receivers.map((receiver) => receiver?.outcome?.failed)).toEqual([undefined, undefined])
  })

  test('a slice marked settled is byte-identical on disk', () => {
    const broken = plan((world) => spoil(world, 0))
    expect(() => runPlan(broken)).toThrow(/invariant broken: the target of 0 differs .*which is settled\n.*sabotage/)
  })

  test('no two receivers disagree', () => {
    expect(() => runPlan(plan((world) => spoil(world, 1)))).toThrow('invariant broken: the target of 1 differs')
  })

  test("a finished session's root digest equals the source's", () => {
    const broken = plan(({ image }) => (image.end.rootDigest[0]! ^= 1))
    expect(() => runPlan(broken)).toThrow('is complete with another root digest')
  })

  test.each([
    ['memory', { windowSlices: 2, maxBitrate: undefined }, /the sender holds 3 frames/],
    ['outstanding work: the rate', { windowSlices: 8, maxBitrate: 1_000_000 }, /were sent where the rate allows/],
  ] as [string, Bounds, RegExp][])('the bounds are kept: %s', (_, bounds, seen) => {
    expect(() => runPlan(PLAN, bounds)).toThrow(seen)
  })

  test('progress is made whenever the network lets anything through', () => {
    const deaf = PLAN.receivers.slice(1).map((receiver) => ({
      ...receiver,
      ...{ path: { down: { delayUs: 200 }, up: { lossRatio: 1 } }, receiveTimeoutUs: 1e12, startTimeoutUs: 1e12 },
    }))
    const sender = { ...PLAN.sender, startTimeoutUs: 1e12 }
    expect(() => runPlan({ ...PLAN, sender, receivers: deaf, calmUs: Infinity })).toThrow('nothing has ended by')
  })
})

test('a failing seed is printed, and replayable by one command', () => {
  const failing = (): never => {
    throw new Error('broken')
  }
  const name = 'a failing seed is printed, and replayable by one command'
  const command = `SIM_SEED=77 npx vitest run --project model test/model/invariants.test.ts -t '${name}'`
  expect(() => replayable(77, failing)).toThrow(`broken\nreplay: ${command}`)
  vi.stubEnv('SIM_SEED', '77')
  expect([seedsOf(3).length, chosenSeed(5)]).toEqual([1, 77])
  vi.unstubAllEnvs()
})
