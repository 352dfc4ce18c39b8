import { createSecretKey, generateKeyPairSync } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  encodeControl,
  encodeRefusal,
  encodeSealed,
  imageTag,
  planGeometry,
  type ControlMessage,
} from '../../../src/protocol/index.ts'
import { SenderMachine, type SenderEvent } from '../../../src/sender/machine/index.ts'
import { ReceiverKeys, SenderKeys } from '../../../src/trust/index.ts'
import { receiver, SESSION } from './hand-driven.ts'

const groupKey = createSecretKey(Buffer.alloc(32, 1))
const signing = generateKeyPairSync('ed25519')

/** A keyed sender that gathers, and what it says of those who come. */
function gathering(keys = new SenderKeys(groupKey)) {
  const machine = new SenderMachine(0, {
    ...{ session: SESSION, imageId: 'image', imageName: 'name', imageBytes: 16_384, codec: 0, overheadBytes: 28 },
    geometry: planGeometry({ family: 4, sliceBytes: 16_384, isKeyed: keys.isKeyed }),
    ...{ windowSlices: 16, canReread: true, minReceivers: 9, minWaitUs: 0, fec: 'off' },
    ...{ maxWaitUs: undefined, startTimeoutUs: undefined, receiverTimeoutUs: 5_000_000, onSlow: 'defer' },
    maxBitrate: 1_000_000_000,
    encoder: { load: () => undefined, parityInto: () => undefined },
    trust: keys.open(SESSION, 'image').trust!,
  })
  const hear = (bytes: Uint8Array): void => machine.handleDatagram(0, { address: '10.0.0.1', port: 1 }, bytes)
  const events = (): SenderEvent['kind'][] => {
    const kinds: SenderEvent['kind'][] = []
    for (let event = machine.pollEvent(); event !== undefined; event = machine.pollEvent()) kinds.push(event.kind)
    return kinds.filter((kind) => kind !== 'next')
  }
  return { machine, hear, events }
}

function said(message: ControlMessage, counter: number, key = groupKey, session = SESSION): Uint8Array {
  const { tag } = new ReceiverKeys(key).trust!.open(session)
  return encodeSealed(message, SESSION, imageTag('image'), counter, { isKeyed: true, isSigned: false }, { tag: tag! })
}

const join = (low: number): ControlMessage => ({ kind: 'join', receiver: receiver(low), name: `host-${low}` })
const leave = (low: number): ControlMessage => ({ kind: 'leave', receiver: receiver(low), name: 'x', reason: 'y' })

test('joins are taken from holders of the group key alone', () => {
  const { machine, hear, events } = gathering()
  hear(encodeControl(join(1), SESSION, imageTag('image')))
  hear(said(join(2), 1, createSecretKey(Buffer.alloc(32, 2))))
  hear(said(join(3), 1, groupKey, { high: 5, low: 5 }))
  hear(encodeSealed(join(4), SESSION, imageTag('image'), 1, { isKeyed: false, isSigned: false }, {}))
  expect(machine.receivers()).toEqual([])
  expect(machine.stats().forgedPackets).toBe(4)
  hear(said(join(5), 1))
  expect(machine.receivers()).toMatchObject([{ name: 'host-5', state: 'live' }])
  expect(events()).toEqual(['receiver'])
})

test('what a receiver has said is not heard again, nor anything older; others count for themselves', () => {
  const { machine, hear } = gathering()
  hear(said(join(1), 5))
  hear(said(leave(1), 5))
  hear(said(leave(1), 4))
  expect(machine.receivers()).toMatchObject([{ state: 'live' }])
  hear(said(join(2), 1))
  hear(said(leave(1), 6))
  expect(machine.receivers()).toMatchObject([{ state: 'left' }, { state: 'live' }])
  expect(machine.stats().forgedPackets).toBe(2)
})

test('a refusal, which nobody can tell from a forged one, does not stop a keyed session', () => {
  const { machine, hear, events } = gathering()
  hear(said(join(1), 1))
  hear(encodeRefusal(SESSION))
  expect(events()).toEqual(['receiver', 'refused'])
  expect(machine.stats().phase).toBe('gathering')
  expect(machine.receivers()).toMatchObject([{ state: 'live' }])
})

test('challenges are answered together, a few milliseconds after the first, and make nobody a member', () => {
  const keys = new SenderKeys(groupKey, signing.privateKey)
  const { machine, hear } = gathering(keys)
  const into = new Uint8Array(65_536)
  const poll = (nowUs: number): Uint8Array | undefined => {
    const sent = machine.pollTransmit(nowUs, into)
    return sent && into.slice(0, sent.bytes)
  }
  while (poll(0) !== undefined);
  const nonces = Array.from({ length: 400 }, (_, low) => ({ high: 3, low: low + 1 }))
  nonces.forEach((nonce, index) => hear(said({ kind: 'challenge', nonce }, index + 1)))
  // What they also set off: the word that so many are to wait.
  while (poll(4999) !== undefined);
  const packets: Uint8Array[] = []
  for (let packet = poll(5000); packet !== undefined; packet = poll(5000)) packets.push(packet)
  // However many ask, no more than 320 wait for an answer.
  expect(packets).toHaveLength(8)
  expect(machine.receivers()).toEqual([])
})
