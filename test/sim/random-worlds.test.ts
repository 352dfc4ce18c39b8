import { expect, test } from 'vitest'
import { seededRandom, type Random } from '../../src/random.ts'
import type { LinkSpec } from './link.ts'
import { chosenSeed, outcomes, replayable } from './scenario.ts'
import { World, type WorldReceiver, type WorldSpec } from './world.ts'

const pick = <Item>(random: Random, ...items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!

function randomLink(random: Random): LinkSpec {
  return {
    lossRatio: pick(random, 0, 0, 0.001, 0.01, 0.05, 0.2),
    delayUs: pick(random, 0, 100, 5000, 50_000),
    jitterUs: pick(random, 0, 0, 100, 2000),
    duplicateRatio: pick(random, 0, 0, 0.05),
    reorderRatio: pick(random, 0, 0, 0.05),
    ...(random() < 0.2 ? { bursts: { enterRatio: 0.002, leaveRatio: 0.05, lossRatio: 0.8 } } : {}),
    ...(random() < 0.1 ? { corruptRatio: 0.001 } : {}),
    ...(random() < 0.1 ? { bitsPerSec: pick(random, 5_000_000, 50_000_000), queueBytes: 65_536 } : {}),
  }
}

function randomReceiver(random: Random): WorldReceiver {
  return {
    path: { down: randomLink(random), up: randomLink(random) },
    joinAtUs: random() < 0.2 ? 1 + Math.floor(random() * 400_000) : 0,
    startTimeoutUs: 5_000_000,
    bufferSlices: pick(random, 8, 64, 64),
    isSequential: random() < 0.2,
    ...(random() < 0.15 ? { diskBytesPerSec: pick(random, 500_000, 5_000_000) } : {}),
    ...(random() < 0.1 ? { rejectFirst: 2 } : {}),
  }
}

/** Anything that can come together: options, paths, disks, and parties that die. */
function randomSpec(seed: number): WorldSpec {
  const random = seededRandom(seed)
  const count = pick(random, 1, 2, 3, 4, 9, 20)
  const killed = Math.floor(random() * count)
  const killUs = Math.floor(random() * 1_000_000)
  return {
    seed,
    receivers: Array.from({ length: count }, () => randomReceiver(random)),
    sender: {
      onSlow: pick(random, 'defer', 'wait', 'drop'),
      windowSlices: pick(random, 8, 16, 64),
      canReread: random() < 0.8,
      fec: pick<'auto' | 'off' | number>(random, 'auto', 'off', 10),
      maxBitrate: pick(random, undefined, 5_000_000, 50_000_000, 500_000_000),
      minReceivers: pick(random, 0, 1, 1, 2),
      maxWaitUs: 1_000_000,
      startTimeoutUs: 5_000_000,
    },
    sliceBytes: pick(random, 16_384, 65_536, 262_144),
    dataBytes: pick(random, 0, 1, 100_000, 1_000_000, 1_500_001),
    holeRatio: pick(random, 0, 0.3),
    incidents: [
      ...(random() < 0.15
        ? [{ when: (world: World) => world.nowUs > killUs, then: (world: World) => world.receivers[killed]?.kill() }]
        : []),
      ...(random() < 0.1
        ? [{ when: (world: World) => world.nowUs > killUs, then: (world: World) => world.sender.kill() }]
        : []),
    ],
  }
}

const ENDS = [
  ...['complete', 'running', 'absent', 'NO_SENDER', 'SENDER_LOST', 'SENDER_ABORTED', 'RECEIVER_DROPPED', 'DATA_GONE'],
  'DIGEST_MISMATCH',
]

// What the parties check at every step is the test: no wrong or second slice, bounded memory, deadlines ahead of the clock.
test.each(Array.from({ length: 20 }, (_, group) => group))('200 worlds, group %d of 20', (group) => {
  const only = process.env['SIM_SEED'] !== undefined
  for (let index = 0; index < (only ? 1 : 10); index++) {
    replayable(chosenSeed(1000 * group + index), (seed) => {
      const world = new World(randomSpec(seed)).run()
      for (const outcome of outcomes(world)) expect(ENDS).toContain(outcome)
    })
  }
})
