import { createDecipheriv, createHmac, createSecretKey, KeyObject } from 'node:crypto'
import { expect, it } from 'vitest'
import { encodeMessage } from '../../../src/protocol/control.ts'
import { encodeSealed, imageTag, SEALED_HEADER_BYTES, type ControlMessage } from '../../../src/protocol/index.ts'
import { ReceiverKeys, SenderKeys } from '../../../src/trust/index.ts'
import { SessionKeys } from '../../../src/trust/session-keys.ts'

// What docs/protocol.md says, computed by hand.
const GROUP_KEY = Buffer.alloc(32, 0x2b)
const SESSION = { high: 0x0123_4567, low: 0x89ab_cdef }
const SESSION_BYTES = Buffer.from('0123456789abcdef', 'hex')
const IMAGE_ID = 'imagé'

const hmac = (key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer =>
  createHmac('sha256', key).update(Buffer.concat(parts)).digest()

/** HKDF-SHA-256 (RFC 5869) for 32 bytes: one block of output. */
const derived = (info: string): Buffer => hmac(hmac(SESSION_BYTES, GROUP_KEY), Buffer.from(info), Uint8Array.of(1))

const groupKey = createSecretKey(GROUP_KEY)

it.each([
  ['frames', 'skilfish 1 frames'],
  ['fromSender', 'skilfish 1 control from sender'],
  ['fromReceivers', 'skilfish 1 control from receivers'],
  ['packetHash', 'skilfish 1 packet hash'],
  ['packetPads', 'skilfish 1 packet pads'],
  ['rootDigest', 'skilfish 1 root digest'],
] as const)('the session key %s is HKDF of the group key, and a KeyObject', (purpose, info) => {
  const key = new SessionKeys(groupKey, SESSION).get(purpose)
  expect(key).toBeInstanceOf(KeyObject)
  expect(key.export().toString('hex')).toBe(derived(info).toString('hex'))
})

it('a frame is encrypted with AES-256-GCM: nonce, associated data and tag are those of the documents', () => {
  const { sealer } = new SenderKeys(groupKey).open(SESSION, IMAGE_ID)
  const frames = [Buffer.alloc(200, 0x11), Buffer.alloc(300, 0x22)]
  frames.forEach((frame, slice) => {
    const sealed = Buffer.from(sealer!.seal(slice, Buffer.concat([frame, Buffer.alloc(16)]), frame.length)!)
    const numbers = Buffer.alloc(8)
    numbers.writeUInt32BE(slice, 0)
    numbers.writeUInt32BE(sealed.length, 4)
    const nonce = Buffer.concat([Buffer.alloc(8), numbers.subarray(0, 4)])
    const decipher = createDecipheriv('aes-256-gcm', derived('skilfish 1 frames'), nonce)
    decipher.setAAD(Buffer.concat([Buffer.from('skilfish frame'), SESSION_BYTES, numbers, Buffer.from(IMAGE_ID)]))
    decipher.setAuthTag(sealed.subarray(-16))
    const plain = Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()])
    expect(plain.equals(frame)).toBe(true)
  })
})

it.each(['sender', 'receivers'] as const)(
  'a control message from the %s ends with an HMAC over session, counter and all else, under a key of that side',
  (side) => {
    const message: ControlMessage =
      side === 'sender'
        ? { kind: 'join-ack', receivers: [SESSION] }
        : { kind: 'join', receiver: { high: 1, low: 2 }, name: 'node' }
    const { tag } =
      side === 'sender'
        ? new SenderKeys(groupKey).open(SESSION, IMAGE_ID).trust!
        : new ReceiverKeys(groupKey).trust!.open(SESSION)
    const mode = { isKeyed: true, isSigned: false }
    const packet = Buffer.from(encodeSealed(message, SESSION, imageTag(IMAGE_ID), 2 ** 33 + 7, mode, { tag: tag! }))
    expect(packet.subarray(4, 12).equals(SESSION_BYTES)).toBe(true)
    expect(packet.readBigUInt64BE(20)).toBe(2n ** 33n + 7n)
    expect(packet.length).toBe(SEALED_HEADER_BYTES + encodeMessage(message).length + 16)
    const wanted = hmac(derived(`skilfish 1 control from ${side}`), packet.subarray(0, -16)).subarray(0, 16)
    expect(packet.subarray(-16).equals(wanted)).toBe(true)
  },
)
