import { createSecretKey } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { decodeControl, peekSealed } from '../../src/protocol/index.ts'
import { ReceiverKeys, SenderKeys } from '../../src/trust/index.ts'
import { MessageMeter } from './message-meter.ts'
import { simulateSuccess } from './scenario.ts'
import type { World } from './world.ts'

/** Messages from receivers that the sender had to take in each second of the session. */
const messagesPerSec = (world: World): number => (world.sender.receivedPackets * 1e6) / world.nowUs

const path = { down: { lossRatio: 0.01, delayUs: 200 }, up: { lossRatio: 0.01, delayUs: 200 } }

const run = (count: number, seed = 1): World => {
  const receivers = Array.from({ length: count }, () => ({}))
  return simulateSuccess({ seed, path, receivers, dataBytes: 2_097_152, sliceBytes: 262_144 })
}

describe('groups', () => {
  test.each([1, 2, 7, 30, 100, 200])('of %d receivers all get the image', (count) => {
    run(count)
  })

  test('of 200 do not bury the sender in messages', () => {
    const [few, many] = [run(20), run(200)]
    // Joins and Dones are one each at least; all else must not grow with the group.
    expect(messagesPerSec(many)).toBeLessThan(1500)
    expect(many.sender.machine.stats().nacks).toBeLessThan(20 * few.sender.machine.stats().nacks)
  })

  test.each([
    { largeCount: 512, mostMean: 1.5 },
    { largeCount: 1000, mostMean: 2 },
  ])(
    'of 64 and of $largeCount send the sender about the same number of messages a second',
    ({ largeCount, mostMean }) => {
      const busiest = (count: number): { mean: number; busiest: number } => {
        const meter = new MessageMeter()
        const world = simulateSuccess({
          ...{ seed: 1, path, dataBytes: 8_388_608, sliceBytes: 262_144 },
          receivers: Array.from({ length: count }, () => ({ isHollow: true })),
          sender: { encoder: { load: () => undefined, parityInto: () => undefined }, maxBitrate: 100_000_000 },
          onHeard: (nowUs, bytes) => meter.note(nowUs, bytes),
        })
        return { mean: messagesPerSec(world), busiest: meter.busiestSecondCount }
      }
      const [few, many] = [busiest(64), busiest(largeCount)]
      expect(many.mean).toBeLessThan(mostMean * few.mean)
      expect(many.busiest).toBeLessThan(2 * few.busiest)
    },
  )

  test.each([0.01, 0.1])(
    'of 2,000 that come at once join at a steady rate, and get the image meanwhile: loss %d',
    (lossRatio) => {
      const joinsUs: number[] = []
      const world = simulateSuccess({
        ...{ seed: 1, dataBytes: 262_144, sliceBytes: 65_536 },
        path: { down: { lossRatio, delayUs: 200 }, up: { lossRatio, delayUs: 200 } },
        // The first is there from the start, and does not tell how many will come.
        receivers: Array.from({ length: 2000 }, (_, index) => ({
          isHollow: true,
          joinAtUs: index === 0 ? 0 : 500_000,
        })),
        sender: { encoder: { load: () => undefined, parityInto: () => undefined }, minWaitUs: 1_000_000 },
        onHeard: (nowUs, bytes) => {
          const message = decodeControl(bytes, 0, bytes.length)
          if (typeof message !== 'string' && message.kind === 'join') joinsUs.push(nowUs)
        },
      })
      const inAnyTenth = joinsUs.map((fromUs) => joinsUs.filter((us) => us >= fromUs && us < fromUs + 100_000).length)
      expect(Math.max(...inAnyTenth)).toBeLessThan(200)
      const completeUs = world.receivers.map((receiver) => receiver!.completeUs!)
      expect(Math.max(...completeUs)).toBeLessThan(2_000_000)
    },
  )

  test.each([
    { count: 64, mostInTenth: 150, mostUs: 700_000 },
    { count: 1000, mostInTenth: 400, mostUs: 6_000_000 },
  ])('of $count with a key challenge the session as evenly as they join', ({ count, mostInTenth, mostUs }) => {
    const groupKey = createSecretKey(Buffer.alloc(32, 1))
    const keys = new ReceiverKeys(groupKey)
    const entriesUs: number[] = []
    const kindCounts = { challenge: 0, join: 0 }
    const world = simulateSuccess({
      ...{ seed: 1, path, dataBytes: 65_536, limitUs: 30_000_000 },
      receivers: Array.from({ length: count }, () => ({ isHollow: true, keys })),
      sender: {
        ...{ keys: new SenderKeys(groupKey), minReceivers: count },
        encoder: { load: () => undefined, parityInto: () => undefined },
      },
      onHeard: (nowUs, bytes) => {
        const message = peekSealed(bytes, 0, bytes.length)
        if (typeof message === 'string' || (message.kind !== 'challenge' && message.kind !== 'join')) return
        kindCounts[message.kind]++
        entriesUs.push(nowUs)
      },
    })
    const inAnyTenth = entriesUs.map((fromUs) => entriesUs.filter((us) => us >= fromUs && us < fromUs + 100_000).length)
    expect(Math.max(...inAnyTenth)).toBeLessThan(mostInTenth)
    // Those that are lost are said again, and no others.
    expect(kindCounts.challenge).toBeLessThan(1.1 * count + 3)
    expect(world.nowUs).toBeLessThan(mostUs)
  })

  test('of 1,000 lose nobody on the way, though each speaks every 5 s only', () => {
    const receivers = Array.from({ length: 1000 }, () => ({ skipsDigest: true }))
    const sender = { minReceivers: 1000, receiverTimeoutUs: 1_000_000 }
    const world = simulateSuccess({ seed: 1, path, receivers, sender, dataBytes: 65_536 })
    expect(messagesPerSec(world)).toBeLessThan(1000)
  })

  test('of different receivers all get the image', () => {
    const receivers = Array.from({ length: 24 }, (_, index) => ({
      path: {
        down: { lossRatio: [0, 0.001, 0.01, 0.1][index % 4]!, delayUs: 100 * 3 ** (index % 5) },
        up: { lossRatio: [0, 0.2][index % 2]!, delayUs: 100 * 3 ** (index % 4) },
      },
      isSequential: index % 3 === 0,
      bufferSlices: [8, 32, 64][index % 3]!,
    }))
    for (const seed of [1, 2]) simulateSuccess({ seed, receivers, dataBytes: 2_097_152 })
  })
})
