import { describe, expect, test } from 'vitest'
import { LIMITS, MAX_RECEIVER_COUNT, type ControlMessage, type Report } from '../../src/protocol/index.ts'
import { seededRandom } from '../../src/random.ts'
import { chosenSeed, outcomes, replayable } from './scenario.ts'
import { madeUp, Stranger } from './strangers.ts'
import { World, type WorldSpec } from './world.ts'

const RECEIVERS = [{}, {}, {}, {}]

/** About 1.7 s of main pass. */
const SPEC: WorldSpec = {
  seed: 1,
  dataBytes: 8_388_608,
  sender: { maxBitrate: 40_000_000, windowSlices: 32, receiverTimeoutUs: 5_000_000, minReceivers: RECEIVERS.length },
  path: { down: { lossRatio: 0.01, delayUs: 200 }, up: { delayUs: 200 } },
  receivers: RECEIVERS,
}

/** Runs a session with a stranger in it. @returns when the last honest receiver was done, microseconds */
function disturbed(
  spec: WorldSpec,
  disturb: (stranger: Stranger, world: World) => void,
): { world: World; endedUs: number } {
  return replayable(chosenSeed(spec.seed), (seed) => {
    let most = 0
    // The sender speaks while the world is being made.
    const listener: { stranger?: Stranger } = {}
    const world: World = new World({
      ...spec,
      seed,
      onSent: (_, bytes) => listener.stranger?.hear(bytes),
      onStep: ({ sender }) => (most = Math.max(most, sender.machine.holdings().receivers)),
    })
    const stranger = new Stranger(world)
    listener.stranger = stranger
    disturb(stranger, world)
    world.run()
    expect(outcomes(world)).toEqual(spec.receivers.map(() => 'complete'))
    expect(most).toBeLessThanOrEqual(MAX_RECEIVER_COUNT)
    return { world, endedUs: Math.max(...world.receivers.map((receiver) => receiver!.outcome!.atUs)) }
  })
}

const report = (low: number, given: Partial<Report>): ControlMessage => ({
  ...{ kind: 'report', receiver: madeUp(low), name: 'nobody', settledCount: 0, settledBelow: 0, queuePercent: 0 },
  ...{ receivedPackets: 0, lostPackets: 0, echoSentAtUs: 0, echoHeldUs: 0, ...given },
})

/** What strangers do, from 100 ms on. */
const FLOODS: Readonly<Record<string, (stranger: Stranger) => void>> = {
  'garbage, ten thousand packets a second': (stranger) => {
    const random = seededRandom(7)
    stranger.repeat(100_000, 100, 20_000, (time) => {
      stranger.sayBytes(Uint8Array.from({ length: time % 200 }, () => Math.floor(random() * 256)))
    })
  },
  '10,000 made-up receivers of one address that join once': (stranger) => {
    stranger.repeat(100_000, 50, 10_000, (low) => stranger.say({ kind: 'join', receiver: madeUp(low), name: '' }))
  },
  '10,000 made-up receivers of as many addresses that join once': (stranger) => {
    stranger.repeat(100_000, 50, 10_000, (low) => stranger.say({ kind: 'join', receiver: madeUp(low), name: '' }, low))
  },
  'NACKs for everything, a thousand a second': (stranger) => {
    const missing = [{ first: 0, count: 100_000 }]
    const deficits = Array.from({ length: LIMITS.slicesPerMessage }, (_, slice) => ({
      slice: 3 * slice,
      deficit: 45,
      heard: 0,
    }))
    stranger.repeat(100_000, 1000, 5_000, (time) => {
      stranger.say({ kind: 'nack', receiver: madeUp(time % 50), deficits, missing })
    })
  },
  'reports of 100 % loss by one receiver': (stranger) => {
    stranger.repeat(100_000, 20_000, 250, () => stranger.say(report(0, { lostPackets: 1000 })))
  },
  'reports of 99 % loss by a hundred receivers of one address': (stranger) => {
    stranger.repeat(100_000, 1000, 5_000, (time) => {
      stranger.say(report(time % 100, { receivedPackets: 10, lostPackets: 990, queuePercent: 100 }))
    })
  },
}

const undisturbedUs = disturbed(SPEC, () => undefined).endedUs

describe('a flood on a session without a key', () => {
  test.each(Object.keys(FLOODS))('of %s takes less than half of the throughput', (name) => {
    const { endedUs } = disturbed(SPEC, FLOODS[name]!)
    expect(endedUs).toBeLessThan(2 * undisturbedUs)
  })

  test.each(['wait', 'drop'] as const)('of made-up receivers does not stop a sender with %s', (onSlow) => {
    const spec = { ...SPEC, sender: { ...SPEC.sender, onSlow, windowSlices: 8 } }
    const { endedUs } = disturbed(spec, FLOODS['10,000 made-up receivers of as many addresses that join once']!)
    // What they would need is held until they have had their time to report.
    expect(endedUs).toBeLessThan(2 * undisturbedUs + 2_000_000)
  })

  test('of made-up receivers does not keep an honest one out', () => {
    const late = { ...SPEC, receivers: [...RECEIVERS, { joinAtUs: 700_000 }] }
    disturbed(late, (stranger) => {
      stranger.repeat(100_000, 40, 40_000, (low) => {
        stranger.say({ kind: 'join', receiver: madeUp(low), name: '' }, 256 + (low % 40_000))
      })
    })
  })

  test('of made-up receivers does not hold the session for longer than the timeout', () => {
    const { world, endedUs } = disturbed(SPEC, FLOODS['10,000 made-up receivers of as many addresses that join once']!)
    expect(world.sender.outcome).toMatchObject({ failed: 'RECEIVERS_FAILED' })
    expect(world.nowUs).toBeLessThan(Math.max(endedUs, 600_000 + 5_000_000) + 1_000_000)
  })
})
