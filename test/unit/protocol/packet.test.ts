import { describe, expect, it } from 'vitest'
import {
  areDataFieldsValid,
  DATA_HEADER_BYTES,
  encodeDataFieldsInto,
  encodePrefixInto,
  encodeRefusal,
  frameBytesAt,
  hasSession,
  imageTagAt,
  OLDEST_VERSION,
  packetTypeAt,
  PacketType,
  PREFIX_BYTES,
  PROTOCOL_VERSION,
  REFUSAL_BYTES,
  refusalVersions,
  sessionAt,
  sliceIndexAt,
  sourceSymbolCount,
  symbolIndexAt,
  versionAt,
} from '../../../src/protocol/index.ts'
import { encodeHeaderReference } from '../../reference/packet.ts'
import { SESSION, TAG } from './sample-messages.ts'

function dataPacket(): Uint8Array {
  const bytes = new Uint8Array(DATA_HEADER_BYTES + 1)
  encodePrefixInto(bytes, 0, PacketType.data, SESSION, TAG)
  encodeDataFieldsInto(bytes, 0, 66_000_000, 1_056_816, 254)
  return bytes
}

const typeOf = (bytes: Uint8Array): unknown => packetTypeAt(bytes, 0, bytes.length)

/** The packet with one byte changed. */
const withByte = (bytes: Uint8Array, at: number, value: number): Uint8Array => bytes.with(at, value)

describe('a data packet', () => {
  it('has the header of the reference', () => {
    const reference = encodeHeaderReference({
      version: PROTOCOL_VERSION,
      type: PacketType.data,
      session: SESSION,
      tag: TAG,
      slice: 66_000_000,
      frameBytes: 1_056_816,
      symbol: 254,
    })
    expect(dataPacket().subarray(0, DATA_HEADER_BYTES)).toEqual(reference)
  })

  it('has its fields where they belong', () => {
    const hex = Buffer.from(dataPacket().subarray(0, DATA_HEADER_BYTES)).toString('hex')
    expect(hex).toBe('536b0101' + '0123456789abcdef' + 'feedf00d' + '03ef1480' + '102030' + 'fe')
  })

  it('is read back at any place of a buffer', () => {
    const bytes = new Uint8Array(100).fill(0xaa)
    bytes.set(dataPacket(), 41)
    expect(packetTypeAt(bytes, 41, 25)).toBe(PacketType.data)
    expect(versionAt(bytes, 41)).toBe(PROTOCOL_VERSION)
    expect(sessionAt(bytes, 41)).toEqual(SESSION)
    expect(imageTagAt(bytes, 41)).toBe(TAG)
    expect(sliceIndexAt(bytes, 41)).toBe(66_000_000)
    expect(frameBytesAt(bytes, 41)).toBe(1_056_816)
    expect(symbolIndexAt(bytes, 41)).toBe(254)
  })

  it('belongs to its session alone', () => {
    const bytes = dataPacket()
    expect(hasSession(bytes, 0, SESSION)).toBe(true)
    expect(hasSession(bytes, 0, { ...SESSION, high: 0 })).toBe(false)
    expect(hasSession(bytes, 0, { ...SESSION, low: 0 })).toBe(false)
  })

  it('is nothing without a symbol', () => {
    expect(typeOf(dataPacket())).toBe(PacketType.data)
    expect(typeOf(dataPacket().subarray(0, DATA_HEADER_BYTES))).toBe('too-short')
  })
})

describe('the type of a packet', () => {
  it.each([0, 1, PREFIX_BYTES - 1])('is not looked for in %i bytes', (length) => {
    expect(typeOf(dataPacket().subarray(0, length))).toBe('too-short')
  })

  it('is told only of our packets', () => {
    expect(typeOf(withByte(dataPacket(), 0, 0x52))).toBe('not-ours')
    expect(typeOf(withByte(dataPacket(), 1, 0x6a))).toBe('not-ours')
  })

  it.each([0, OLDEST_VERSION - 1, PROTOCOL_VERSION + 1, 255])('is not told of version %i', (version) => {
    expect(typeOf(withByte(dataPacket(), 2, version))).toBe('other-version')
  })

  it.each([0, 5, 255])('is unknown: %i', (type) => {
    expect(typeOf(withByte(dataPacket(), 3, type))).toBe('unknown-type')
  })

  it('is judged by the length that the caller gives, not by the buffer', () => {
    expect(packetTypeAt(dataPacket(), 0, PREFIX_BYTES)).toBe('too-short')
  })
})

describe('a refusal', () => {
  it('names the versions that its sender speaks', () => {
    const bytes = encodeRefusal(SESSION)
    expect(bytes).toHaveLength(REFUSAL_BYTES)
    expect(typeOf(bytes)).toBe(PacketType.refusal)
    expect(sessionAt(bytes, 0)).toEqual(SESSION)
    expect(refusalVersions(bytes, 0)).toEqual({ oldest: OLDEST_VERSION, newest: PROTOCOL_VERSION })
  })

  it('is understood from any version', () => {
    expect(typeOf(withByte(encodeRefusal(SESSION), 2, 200))).toBe(PacketType.refusal)
  })

  it('is not read from fewer bytes', () => {
    expect(typeOf(encodeRefusal(SESSION).subarray(0, REFUSAL_BYTES - 1))).toBe('too-short')
  })
})

it.each([
  [1, 1448, 1],
  [1448, 1448, 1],
  [1449, 1448, 2],
  [262_144 + 64, 1448, 182],
])('cuts a frame of %i bytes into symbols of %i: %i', (frameBytes, symbolBytes, count) => {
  expect(sourceSymbolCount(frameBytes, symbolBytes)).toBe(count)
})

it.each([
  [64, 0, true],
  [223 * 1448, 254, true],
  [63, 0, false],
  [0, 0, false],
  [223 * 1448 + 1, 0, false],
  [0xff_ffff, 0, false],
  [64, 255, false],
])('judges a frame of %i bytes and the symbol index %i: %j', (frameBytes, symbolIndex, isValid) => {
  expect(areDataFieldsValid(frameBytes, symbolIndex, 1448)).toBe(isValid)
})
