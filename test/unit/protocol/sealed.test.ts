import { createSecretKey, generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  encodeSealed,
  MAX_CONTROL_BYTES,
  openSealed,
  packetTypeAt,
  PacketType,
  sealedPacketBytesAt,
  type ControlMessage,
  type ReceiverSessionTrust,
  type SenderTrust,
} from '../../../src/protocol/index.ts'
import { ReceiverKeys, SenderKeys } from '../../../src/trust/index.ts'
import { LARGEST, SAMPLES, SESSION, TAG } from './sample-messages.ts'

const groupKey = createSecretKey(Buffer.alloc(32, 1))
const { privateKey, publicKey } = generateKeyPairSync('ed25519')

const senderTrust = (isKeyed: boolean, isSigned: boolean): SenderTrust =>
  new SenderKeys(isKeyed ? groupKey : undefined, isSigned ? privateKey : undefined).open(SESSION, 'image').trust!
const receiverTrust = (isKeyed: boolean, isSigned: boolean): ReceiverSessionTrust =>
  new ReceiverKeys(isKeyed ? groupKey : undefined, isSigned ? publicKey : undefined).trust!.open(SESSION)

const MODES = [
  [true, false],
  [false, true],
  [true, true],
] as const

const sealBy = (isKeyed: boolean, isSigned: boolean, message: ControlMessage, counter = 1): Uint8Array => {
  const trust = senderTrust(isKeyed, isSigned)
  return encodeSealed(message, SESSION, TAG, counter, trust, trust)
}

const FROM_RECEIVERS = ['join', 'report', 'nack', 'done', 'leave', 'challenge']
const fromSender = SAMPLES.filter(({ kind }) => !FROM_RECEIVERS.includes(kind))
const fromReceivers = SAMPLES.filter(({ kind }) => FROM_RECEIVERS.includes(kind))

const END = SAMPLES.find(({ kind }) => kind === 'end')!
const ECHO = SAMPLES.find(({ kind }) => kind === 'repair-echo')!

describe.each(MODES)('a sealed message (keyed %s, signed %s)', (isKeyed, isSigned) => {
  it.each(fromSender.map((message) => [message.kind, message] as const))(
    '%s is read as it was written',
    (_kind, message) => {
      const packet = sealBy(isKeyed, isSigned, message, 2 ** 40 + 5)
      expect(packetTypeAt(packet, 0, packet.length)).toBe(PacketType.sealed)
      expect(sealedPacketBytesAt(packet, 0)).toBe(packet.length)
      expect(packet.length).toBeLessThanOrEqual(MAX_CONTROL_BYTES)
      const behind = Uint8Array.from([9, 9, 9, ...packet, 9, 9])
      const opened = openSealed(behind, 3, behind.length - 3, receiverTrust(isKeyed, isSigned))
      const isProven = !isSigned || message.kind !== 'repair-echo'
      expect(opened).toEqual({ counter: 2 ** 40 + 5, message, isKeyed, isSigned, isProven })
    },
  )

  it('with any bit turned over is refused', () => {
    const packet = sealBy(isKeyed, isSigned, END)
    // Magic, version and type are for `packetTypeAt`.
    for (let bit = 4 * 8; bit < packet.length * 8; bit++) {
      packet[bit >> 3]! ^= 1 << (bit & 7)
      expect(typeof openSealed(packet, 0, packet.length, receiverTrust(isKeyed, isSigned))).toBe('string')
      packet[bit >> 3]! ^= 1 << (bit & 7)
    }
    expect(typeof openSealed(packet, 0, packet.length, receiverTrust(isKeyed, isSigned))).toBe('object')
  })

  it('cut short is malformed', () => {
    const packet = sealBy(isKeyed, isSigned, END)
    for (let length = 29; length < packet.length; length++) {
      expect(openSealed(packet, 0, length, receiverTrust(isKeyed, isSigned))).toBe('control-malformed')
    }
  })
})

describe('a receiver that asks for', () => {
  it('a key does not take a session without', () => {
    expect(openSealed(sealBy(false, true, END), 0, 600, receiverTrust(true, false))).toBe('not-keyed')
  })

  it('a signature does not take a session without', () => {
    expect(openSealed(sealBy(true, false, END), 0, 600, receiverTrust(true, true))).toBe('not-signed')
    expect(openSealed(sealBy(true, false, ECHO), 0, 600, receiverTrust(true, true))).toBe('not-signed')
  })

  it('nothing does not take a keyed session, and takes a signed one unseen', () => {
    expect(openSealed(sealBy(true, false, END), 0, 600, {})).toBe('no-key')
    expect(openSealed(sealBy(false, true, END), 0, 600, {})).toMatchObject({ isProven: false, isSigned: true })
  })

  it('a key knows a wrong one, and that of another session', () => {
    const other = new ReceiverKeys(createSecretKey(Buffer.alloc(32, 2))).trust!.open(SESSION)
    expect(openSealed(sealBy(true, false, END), 0, 600, other)).toBe('wrong-tag')
    const elsewhere = new ReceiverKeys(groupKey).trust!.open({ high: 5, low: 5 })
    expect(openSealed(sealBy(true, false, END), 0, 600, elsewhere)).toBe('wrong-tag')
  })

  it('a signature knows a wrong one', () => {
    const other = new ReceiverKeys(groupKey, generateKeyPairSync('ed25519').publicKey).trust!.open(SESSION)
    expect(openSealed(sealBy(true, true, END), 0, 600, other)).toBe('wrong-signature')
  })
})

it('what a sender says is not taken for what a receiver says, nor the other way round', () => {
  const [sender, receiver] = [senderTrust(true, false), receiverTrust(true, false)]
  const said = encodeSealed(END, SESSION, TAG, 1, sender, sender)
  expect(openSealed(said, 0, said.length, { hasTag: sender.hasTag! })).toBe('wrong-tag')
  for (const message of fromReceivers) {
    const mode = { isKeyed: true, isSigned: false }
    const packet = encodeSealed(message, SESSION, TAG, 1, mode, { tag: receiver.tag! })
    expect(packet.length).toBeLessThanOrEqual(MAX_CONTROL_BYTES)
    expect(openSealed(packet, 0, packet.length, { hasTag: sender.hasTag! })).toMatchObject({ message })
    expect(openSealed(packet, 0, packet.length, receiver)).toBe('wrong-tag')
  }
})

it.each(LARGEST.map((message) => [message.kind, message] as const))(
  'the largest %s fits the smallest MTU when it is sealed',
  (kind, message) => {
    const isFromReceiver = FROM_RECEIVERS.includes(kind)
    const tag = (): Uint8Array => new Uint8Array(16)
    const seal = isFromReceiver ? { tag } : { tag, sign: () => new Uint8Array(64) }
    const mode = { isKeyed: true, isSigned: !isFromReceiver }
    const packet = encodeSealed(message, SESSION, TAG, Number.MAX_SAFE_INTEGER, mode, seal)
    expect(packet.length).toBeLessThanOrEqual(MAX_CONTROL_BYTES)
  },
)
