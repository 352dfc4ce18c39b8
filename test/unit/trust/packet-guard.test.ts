import { createCipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import { expect, it } from 'vitest'
import { encodeDataFieldsInto, encodePrefixInto, PACKET_TAG_BYTES, PacketType } from '../../../src/protocol/index.ts'
import { seededRandom } from '../../../src/random.ts'
import { NhPacketGuard } from '../../../src/trust/index.ts'
import { nhReference } from '../../reference/nh.ts'

const keyOf = (byte: number): KeyObject => createSecretKey(Buffer.alloc(32, byte))

function packetOf(slice: number, symbol: number, lengthBytes: number, seed = 1): Uint8Array {
  const random = seededRandom(seed)
  const packet = Uint8Array.from({ length: lengthBytes }, () => Math.floor(random() * 256))
  encodePrefixInto(packet, 0, PacketType.data, { high: 1, low: 2 }, 3)
  encodeDataFieldsInto(packet, 0, slice, 100_000, symbol)
  return packet
}

const guard = new NhPacketGuard(keyOf(1), keyOf(2))

function tagged(...args: Parameters<typeof packetOf>): Uint8Array {
  const packet = packetOf(...args)
  guard.tagInto(packet, 0, packet.length)
  return packet
}

const isGenuine = (packet: Uint8Array, by = guard): boolean => by.isGenuine(packet, 0, packet.length)

it.each([33, 63, 64, 65, 528, 1472, 8972, 65_000])('a tag of a packet of %d bytes is NH and a pad of AES', (bytes) => {
  const packet = tagged(0x0123_4567 & 0x3ff_ffff, 0xab, bytes)
  const key = createCipheriv('aes-256-ctr', keyOf(1), Buffer.alloc(16)).update(Buffer.alloc(65_536))
  const block = Buffer.alloc(16)
  block.writeUInt32BE(0x0123_4567 >>> 24, 8)
  block.writeUInt32BE(((0x0123_4567 << 8) | 0xab) >>> 0, 12)
  const pad = createCipheriv('aes-256-ecb', keyOf(2), null).update(block).readBigUInt64LE(0)
  const hash = nhReference(key, packet.subarray(16, bytes - PACKET_TAG_BYTES))
  const tag = Buffer.from(packet.subarray(bytes - PACKET_TAG_BYTES)).readBigUInt64LE(0)
  expect(tag).toBe((hash + pad) & 0xffff_ffff_ffff_ffffn)
})

it('tags are right wherever the packet lies, and whatever was tagged before', () => {
  const fields = [
    [5, 0, 1],
    [5, 254, 2],
    [37, 0, 3],
  ] as const
  const run = new Uint8Array(3 * 1472)
  fields.forEach(([slice, symbol, seed], index) => run.set(packetOf(slice, symbol, 1472, seed), index * 1472))
  tagged(9, 9, 65_000)
  for (const index of [2, 0, 1]) guard.tagInto(run, index * 1472, 1472)
  const wanted = fields.map(([slice, symbol, seed]) => tagged(slice, symbol, 1472, seed))
  expect(Buffer.compare(run, Buffer.concat(wanted))).toBe(0)
})

it('a packet with any bit turned over is refused', () => {
  const packet = tagged(7, 9, 100)
  for (let bit = 16 * 8; bit < packet.length * 8; bit++) {
    packet[bit >> 3]! ^= 1 << (bit & 7)
    expect(isGenuine(packet)).toBe(false)
    packet[bit >> 3]! ^= 1 << (bit & 7)
  }
  expect(isGenuine(packet)).toBe(true)
})

it('a packet under another key, or too short for a tag, or with a symbol that there is not, is refused', () => {
  const packet = tagged(7, 9, 100)
  expect(isGenuine(packet, new NhPacketGuard(keyOf(3), keyOf(2)))).toBe(false)
  expect(isGenuine(packet, new NhPacketGuard(keyOf(1), keyOf(3)))).toBe(false)
  expect(isGenuine(packet.subarray(0, 31))).toBe(false)
  packet[23] = 255
  expect(isGenuine(packet)).toBe(false)
})

it('slices that share a place for their pads do not share pads', () => {
  const [one, other] = [tagged(1, 0, 100), tagged(33, 0, 100)]
  expect(isGenuine(one)).toBe(true)
  expect(isGenuine(other)).toBe(true)
  expect(one.subarray(92)).not.toEqual(other.subarray(92))
})
