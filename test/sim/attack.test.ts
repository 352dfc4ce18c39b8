import { createSecretKey, generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  encodeControl,
  encodeRefusal,
  encodeSealed,
  imageTag,
  PacketType,
  packetTypeAt,
  sessionAt,
  symbolIndexAt,
  encodeDataFieldsInto,
  frameBytesAt,
  sliceIndexAt,
  type ControlMessage,
  type Id64,
  type SenderTrust,
} from '../../src/protocol/index.ts'
import { seededRandom, type Random } from '../../src/random.ts'
import { ReceiverKeys, SenderKeys } from '../../src/trust/index.ts'
import { SENDER } from './network.ts'
import { outcomes, simulate, simulateSuccess } from './scenario.ts'
import type { World, WorldSpec } from './world.ts'

const groupKey = createSecretKey(Buffer.alloc(32, 1))
const signing = generateKeyPairSync('ed25519')
const path = { down: { lossRatio: 0.01, delayUs: 300 }, up: { lossRatio: 0.01, delayUs: 300 } }
const RECEIVERS = 3

/** Everything that the sender sends, by datagram. */
type Tap = (world: World, nowUs: number, packet: Uint8Array) => void

const keyed = (isSigned: boolean): Pick<WorldSpec, 'sender' | 'receivers'> => ({
  sender: { keys: new SenderKeys(groupKey, isSigned ? signing.privateKey : undefined), maxBitrate: 50_000_000 },
  receivers: Array.from({ length: RECEIVERS }, () => ({
    keys: new ReceiverKeys(groupKey, isSigned ? signing.publicKey : undefined),
  })),
})

/** Runs a keyed session in which somebody listens to the sender and puts packets of their own on the network. */
function attacked(seed: number, isSigned: boolean, tap: Tap): World {
  let world: World | undefined
  const incident = {
    when: () => true,
    then: (begun: World) => {
      world = begun
    },
  }
  const onSent = (nowUs: number, bytes: Uint8Array, segmentBytes: number): void => {
    for (let at = 0; at < bytes.length && world !== undefined; at += segmentBytes) {
      tap(world, nowUs, bytes.slice(at, at + segmentBytes))
    }
  }
  return simulateSuccess({ ...keyed(isSigned), seed, path, onSent, incidents: [incident] })
}

function toAll(world: World, atUs: number, bytes: Uint8Array): void {
  for (let index = 0; index < RECEIVERS; index++) world.network.inject(atUs, index, bytes)
}

const isData = (packet: Uint8Array): boolean => packetTypeAt(packet, 0, packet.length) === PacketType.data
const fillFrom = (packet: Uint8Array, from: number, random: Random): void => {
  for (let at = from; at < packet.length; at++) packet[at] = Math.floor(random() * 256)
}

const rejectedCount = (world: World): number =>
  world.receivers.reduce((sum, receiver) => sum + receiver!.machine.stats().rejectedSlices, 0)
const forgedCount = (world: World): number =>
  world.receivers.reduce((sum, receiver) => sum + receiver!.machine.stats().forgedPackets, 0)

describe.each([false, true])('a keyed session (signed %s) goes on unharmed', (isSigned) => {
  test('while a stranger sends forged symbols at a tenth of the data rate', () => {
    for (const seed of [1, 2, 3]) {
      const random = seededRandom(seed)
      let count = 0
      const world = attacked(seed, isSigned, (begun, nowUs, packet) => {
        if (!isData(packet) || ++count % 10 !== 0) return
        const [slice, frameBytes, symbol] = [sliceIndexAt(packet, 0), frameBytesAt(packet, 0), symbolIndexAt(packet, 0)]
        const forged = packet.slice()
        fillFrom(forged, 24, random)
        // Before the genuine one, for a slice that comes later, for one that there is not, and of another length.
        if (count % 40 === 10) encodeDataFieldsInto(forged, 0, slice, frameBytes, symbol)
        else if (count % 40 === 20) encodeDataFieldsInto(forged, 0, slice + 1, frameBytes, symbol)
        else if (count % 40 === 30) encodeDataFieldsInto(forged, 0, 60_000_000, frameBytes, symbol)
        else encodeDataFieldsInto(forged, 0, slice, frameBytes - 1000, symbol)
        toAll(begun, nowUs, forged)
      })
      expect(forgedCount(world)).toBeGreaterThan(RECEIVERS * (count / 10 - 10))
      expect(rejectedCount(world)).toBe(0)
      for (const receiver of world.receivers) {
        const { slicesBegun, lostPackets } = receiver!.machine.stats()
        expect([slicesBegun, lostPackets < 200]).toEqual([16, true])
      }
    }
  })

  test('for the price of one slice sent again, when a forged symbol has the right tag by chance', () => {
    let isForged = false
    const world = attacked(1, isSigned, (begun, nowUs, packet) => {
      if (isForged || !isData(packet) || sliceIndexAt(packet, 0) !== 3) return
      isForged = true
      const session = sessionAt(packet, 0)
      const forged = packet.slice()
      fillFrom(forged, 24, seededRandom(1))
      encodeDataFieldsInto(forged, 0, 3, frameBytesAt(packet, 0), 5)
      new SenderKeys(groupKey).open(session, 'image').trust!.guard!.tagInto(forged, 0, forged.length)
      toAll(begun, nowUs, forged)
    })
    expect([isForged, forgedCount(world), rejectedCount(world)]).toEqual([true, 0, RECEIVERS])
    const { resentSymbols, paritySymbols } = world.sender.machine.stats()
    const undisturbed = simulateSuccess({ ...keyed(isSigned), seed: 1, path }).sender.machine.stats()
    const more = resentSymbols + paritySymbols - undisturbed.resentSymbols - undisturbed.paritySymbols
    const symbolsOfSlice = 46
    expect(more).toBeGreaterThan(symbolsOfSlice / 2)
    expect(more).toBeLessThan(2 * symbolsOfSlice)
  })

  test('while everything that its sender says is repeated, late and more than once', () => {
    for (const seed of [1, 2]) {
      const random = seededRandom(seed)
      const world = attacked(seed, isSigned, (begun, nowUs, packet) => {
        if (isData(packet) && random() < 0.9) return
        for (let copy = 0; copy < 3; copy++) toAll(begun, nowUs + Math.floor(random() * 500_000), packet)
      })
      expect(forgedCount(world)).toBeGreaterThan(10)
    }
  })

  test('while everything that its receivers say is repeated to the sender, and to the receivers', () => {
    const random = seededRandom(1)
    let world: World | undefined
    const world2 = simulateSuccess({
      ...{ ...keyed(isSigned), seed: 1, path },
      incidents: [{ when: () => true, then: (begun) => (world = begun) }],
      network: {
        filter: (packet, to) => {
          if (to !== SENDER || world === undefined) return false
          for (let copy = 0; copy < 3; copy++) {
            const atUs = world.nowUs + Math.floor(random() * 500_000)
            world.network.inject(atUs, SENDER, packet.slice())
            toAll(world, atUs, packet.slice())
          }
          return false
        },
      },
    })
    expect(world2.sender.machine.stats().forgedPackets).toBeGreaterThan(10)
    expect(world2.sender.machine.receivers()).toHaveLength(RECEIVERS)
  })

  test('while a stranger says Abort, End, Done, Leave, Nack, Join and Refusal in the names of all', () => {
    const wrong = new SenderKeys(createSecretKey(Buffer.alloc(32, 9)), generateKeyPairSync('ed25519').privateKey)
    let count = 0
    const world = attacked(1, isSigned, (begun, nowUs, packet) => {
      if (++count % 50 !== 0) return
      const session = sessionAt(packet, 0)
      for (const forged of forgeries(begun, session, wrong.open(session, 'image').trust!)) {
        toAll(begun, nowUs, forged)
        begun.network.inject(nowUs, SENDER, forged)
      }
    })
    expect(world.sender.machine.receivers().map(({ state }) => state)).toEqual(['done', 'done', 'done'])
    expect(forgedCount(world)).toBeGreaterThan(100)
  })
})

test.each([
  ['without a signature', new SenderKeys(groupKey)],
  ['with one of its own', new SenderKeys(groupKey, generateKeyPairSync('ed25519').privateKey)],
])('a receiver that holds the group key cannot pose as the sender of a signed session, %s', (_, insider) => {
  let count = 0
  const world = attacked(1, true, (begun, nowUs, packet) => {
    if (++count % 50 !== 0) return
    const session = sessionAt(packet, 0)
    const trust = { ...insider.open(session, 'image').trust!, isSigned: true }
    for (const forged of forgeries(begun, session, trust)) toAll(begun, nowUs, forged)
  })
  expect(forgedCount(world)).toBeGreaterThan(100)
  expect(rejectedCount(world)).toBe(0)
})

/** Open packets, and packets sealed under another key, that would end or spoil the session if they were believed. */
function forgeries(world: World, session: Id64, trust: SenderTrust): Uint8Array[] {
  const tag = imageTag('image')
  const ids = world.sender.machine.receivers().map(({ id }) => ({
    high: Number.parseInt(id.slice(0, 8), 16),
    low: Number.parseInt(id.slice(8), 16),
  }))
  const end = { ...world.image.end, kind: 'end', isClosing: true } as const
  const messages: ControlMessage[] = [
    { kind: 'abort', reason: 'interrupted', text: 'forged' },
    end,
    { ...end, sliceCount: 1 },
    { kind: 'repair-echo', pending: [], deferred: [{ first: 0, count: 1000 }] },
    { kind: 'join-ack', receivers: ids },
    { kind: 'done-ack', receivers: ids },
    ...ids.flatMap((receiver): ControlMessage[] => [
      { kind: 'done', receiver, name: 'forged' },
      { kind: 'leave', receiver, name: 'forged', reason: 'forged' },
      { kind: 'nack', receiver, deficits: [], missing: [{ first: 0, count: 16 }] },
    ]),
    { kind: 'join', receiver: { high: 1, low: 1 }, name: 'stranger' },
  ]
  return [
    ...messages.map((message) => encodeControl(message, session, tag)),
    ...messages.map((message) => encodeSealed(message, session, tag, 2 ** 40, trust, trust)),
    ...messages.map((message) => encodeSealed(message, session, tag, 2 ** 40, { isKeyed: false, isSigned: false }, {})),
    encodeRefusal(session),
  ]
}

describe('a recorded session', () => {
  /** All that the sender sent in a session that went well, with the time of each datagram. */
  function record(isSigned: boolean): { atUs: number; packet: Uint8Array }[] {
    const recording: { atUs: number; packet: Uint8Array }[] = []
    attacked(7, isSigned, (_world, atUs, packet) => recording.push({ atUs, packet }))
    return recording
  }

  const replay = (recording: ReturnType<typeof record>) => ({
    when: () => true,
    then: (world: World): void => {
      for (const { atUs, packet } of recording) toAll(world, atUs + 1000, packet)
    },
  })

  test.each([false, true])('is not taken for a live one (signed %s): nothing is opened', (isSigned) => {
    const recording = record(isSigned)
    const { receivers, sender } = keyed(isSigned)
    const world = simulate({
      ...{ sender: sender!, seed: 8, path },
      receivers: receivers.map((setup) => ({ ...setup, startTimeoutUs: 3_000_000 })),
      incidents: [{ when: () => true, then: (begun) => begun.sender.kill() }, replay(recording)],
      network: { filter: (_packet, to) => to !== SENDER },
    })
    expect(outcomes(world)).toEqual(['NO_SENDER', 'NO_SENDER', 'NO_SENDER'])
    for (const receiver of world.receivers) expect(receiver!.machine.stats().packets).toBe(0)
  })

  test.each([false, true])('does not keep receivers from the live one (signed %s)', (isSigned) => {
    const world = simulateSuccess({ ...keyed(isSigned), seed: 9, path, incidents: [replay(record(isSigned))] })
    expect(rejectedCount(world)).toBe(0)
  })

  test('does not take the place of a session that has died, and a live one does', () => {
    const recording = record(false)
    const world = simulateSuccess({
      ...{ ...keyed(false), seed: 10, path },
      incidents: [
        {
          when: (begun) => begun.sender.machine.stats().slicesBegun >= 8,
          then: (begun) => {
            begun.sender.kill()
            for (let round = 0; round < 4; round++) {
              for (const { atUs, packet } of recording) toAll(begun, begun.nowUs + atUs + round * 1_000_000, packet)
            }
            begun.schedule(begun.nowUs + 3_500_000, () => begun.startSender())
          },
        },
      ],
    })
    expect(rejectedCount(world)).toBe(0)
  })
})

describe('a stranger’s beacon', () => {
  const stranger = new SenderKeys(createSecretKey(Buffer.alloc(32, 9)))

  /** Receivers with keys, a sender that nobody hears, and a stranger that announces sessions of its own. */
  function beaconed(startTimeoutUs: number | undefined): World {
    const { sender } = keyed(false)
    const trust = stranger.open({ high: 4, low: 4 }, 'image').trust!
    const announce: ControlMessage = {
      ...{ kind: 'announce', imageId: 'image', imageName: 'x', imageBytes: 1, sliceBytes: 65_536, packetBytes: 1472 },
      ...{ codec: 0, phase: 'sending', begunCount: 0, sentAtUs: 0, rateBitsPerSec: 0 },
      feedback: { grttUs: 5000, groupCount: 1, reportIntervalMs: 100, receiverTimeoutMs: 5000, joinLimit: 65_536 },
    }
    const packet = encodeSealed(announce, { high: 4, low: 4 }, imageTag('image'), 1, trust, trust)
    return simulate({
      ...{ sender: { ...sender!, startTimeoutUs: 6_000_000 }, seed: 1 },
      receivers: [
        { keys: new ReceiverKeys(groupKey), ...(startTimeoutUs === undefined ? {} : { startTimeoutUs }), joinAtUs: 1 },
      ],
      incidents: [
        {
          when: () => true,
          then: (world) => {
            for (let atUs = 1000; atUs < 1_000_000; atUs += 100_000) world.network.inject(atUs, 0, packet)
          },
        },
      ],
      network: { filter: (_packet, to, from) => to === 0 && from === SENDER },
    })
  }

  test('has a receiver say what is wrong within two announce intervals', () => {
    const { outcome } = beaconed(undefined).receivers[0]!
    expect(outcome).toMatchObject({ failed: 'KEY_REFUSED' })
    expect(outcome!.atUs).toBeLessThanOrEqual(1000 + 400_000)
  })

  test('does not put off a receiver that was told how long to wait', () => {
    const { outcome } = beaconed(3_000_000).receivers[0]!
    expect(outcome).toMatchObject({ failed: 'KEY_REFUSED' })
    expect(outcome!.atUs).toBeGreaterThanOrEqual(3_000_000)
  })
})
