import { describe, expect, test } from 'vitest'
import { encodeControl, imageTag, sessionAt, type Id64 } from '../../src/protocol/index.ts'
import { SENDER } from './network.ts'
import { outcomes, simulate, simulateSuccess } from './scenario.ts'
import type { SenderParty } from './sender-party.ts'
import type { Incident, World, WorldSpec } from './world.ts'

/** 64 slices of 64 KiB: 1.1 s at 30 Mbit/s. */
const SPEC: Omit<WorldSpec, 'seed' | 'receivers'> = {
  dataBytes: 4_194_304,
  sender: { maxBitrate: 30_000_000, receiverTimeoutUs: 3_000_000, minReceivers: 2 },
}

/** The sender dies when that share of the slices has been sent, and is started again at once. */
const restartAt = (share: number, then: (world: World) => void = () => undefined): Incident => ({
  when: (world) => world.sender.machine.stats().slicesBegun >= share * world.image.frames.length,
  then: (world) => {
    world.sender.kill()
    world.startSender()
    then(world)
  },
})

const sourceSymbols = ({ machine }: SenderParty): number => machine.stats().sourceSymbols
const wireBytes = ({ machine }: SenderParty): number => machine.stats().wireBytes

/** What a sender sends of this image when nobody has anything. */
function wholeOf(path: WorldSpec['path'] = {}): SenderParty {
  return simulateSuccess({ ...SPEC, path, seed: 1, receivers: [{}, {}] }).sender
}

describe('a sender that is started again', () => {
  test.each([0.25, 0.5, 0.9])('after %d of the image sends what is missing, and no more', (share) => {
    const world = simulateSuccess({ ...SPEC, seed: 1, receivers: [{}, {}], incidents: [restartAt(share)] })
    const [, second] = world.senders
    const whole = wholeOf()
    expect(sourceSymbols(second!) / sourceSymbols(whole)).toBeLessThan(1 - share + 0.04)
    expect(wireBytes(second!) / wireBytes(whole)).toBeLessThan(1 - share + 0.06)
    expect(second!.machine.stats().slicesSpared).toBeGreaterThan((share - 0.04) * world.image.frames.length)
  })

  test('does so under loss too, where receivers have holes', () => {
    const path = { down: { lossRatio: 0.05 }, up: { lossRatio: 0.05 } }
    const incidents = [restartAt(0.5)]
    for (const seed of [1, 2, 3]) {
      const world = simulateSuccess({ ...SPEC, path, seed, receivers: [{}, {}], incidents })
      expect(wireBytes(world.senders[1]!) / wireBytes(wholeOf(path))).toBeLessThan(0.65)
    }
  })

  test('takes no slice that was spared for lost', () => {
    const world = simulateSuccess({ ...SPEC, seed: 1, receivers: [{}, {}], incidents: [restartAt(0.7)] })
    for (const receiver of world.receivers) expect(receiver!.machine.stats().lostPackets).toBeLessThan(100)
  })

  test('sends everything when one has come that has nothing', () => {
    const incidents = [restartAt(0.5, (world) => world.startReceiver(2))]
    const world = simulateSuccess({ ...SPEC, seed: 1, receivers: [{}, {}, { joinAtUs: Infinity }], incidents })
    expect(world.senders[1]!.machine.stats().slicesSpared).toBe(0)
    expect(sourceSymbols(world.senders[1]!)).toBe(sourceSymbols(wholeOf()))
  })

  test('mends for one that comes later and has nothing', () => {
    const incidents = [
      restartAt(0.5),
      {
        when: (world: World) => world.sender.machine.stats().slicesSpared > 20,
        then: (world: World) => void world.startReceiver(2),
      },
    ]
    const world = simulateSuccess({ ...SPEC, seed: 1, receivers: [{}, {}, { joinAtUs: Infinity }], incidents })
    expect(world.senders).toHaveLength(2)
  })

  test('spares nothing of a source that it cannot read again', () => {
    const sender = { ...SPEC.sender, canReread: false, minReceivers: 2 }
    const world = simulateSuccess({ ...SPEC, sender, seed: 1, receivers: [{}, {}], incidents: [restartAt(0.5)] })
    expect(world.senders[1]!.machine.stats().slicesSpared).toBe(0)
  })
})

describe('a stranger that says to have settled everything', () => {
  /** A world in which it joins before anybody else, and goes on to. */
  function simulateLie(spec: Pick<WorldSpec, 'sender' | 'receivers'>): World {
    let session: Id64 | undefined
    const lie = (world: World): void => {
      const settled = [{ first: 0, count: world.image.frames.length }]
      const join = { kind: 'join', receiver: { high: 1, low: 1 }, name: 'stranger', settled } as const
      const packet = encodeControl(join, session!, imageTag('image'))
      for (let atUs = 1000; atUs < 100_000; atUs += 10_000) world.network.inject(world.nowUs + atUs, SENDER, packet)
    }
    return simulate({
      ...{ ...SPEC, ...spec, seed: 1 },
      onSent: (_nowUs, bytes) => (session ??= sessionAt(bytes, 0)),
      incidents: [{ when: () => session !== undefined, then: lie }],
    })
  }

  test('changes nothing for receivers that join with it', () => {
    const world = simulateLie({ receivers: [{}, {}] })
    expect(outcomes(world)).toEqual(['complete', 'complete'])
    expect(world.sender.machine.stats().slicesSpared).toBe(0)
    expect(sourceSymbols(world.sender)).toBe(sourceSymbols(wholeOf()))
  })

  test('cannot keep receivers that come later from what they need', () => {
    const sender = { ...SPEC.sender, minReceivers: 1 }
    const receivers = [{ joinAtUs: 300_000 }, { joinAtUs: 400_000 }]
    const world = simulateLie({ sender, receivers })
    expect(outcomes(world)).toEqual(['complete', 'complete'])
    expect(world.sender.machine.stats().slicesSpared).toBe(world.image.frames.length)
  })
})
