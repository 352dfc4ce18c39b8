import { createSecretKey, generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../../src/random.ts'
import { SenderKeys, ReceiverKeys } from '../../../src/trust/index.ts'
import { loadOpenSsl } from '../../../src/trust/openssl.ts'

const SESSION = { high: 0xfedc_ba98, low: 7 }
const groupKey = createSecretKey(Buffer.alloc(32, 1))
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const stranger = generateKeyPairSync('ed25519')

const openSsl = loadOpenSsl()

/** Those with OpenSSL called directly are left out where that cannot be; that Node.js exports it is tested in openssl.test.ts. */
const MODES = [
  ['encrypted', groupKey, undefined, undefined],
  ['signed', undefined, privateKey, undefined],
  ['encrypted and signed', groupKey, privateKey, undefined],
  ...(openSsl === undefined
    ? []
    : ([
        ['encrypted by OpenSSL itself', groupKey, undefined, openSsl],
        ['encrypted by OpenSSL itself and signed', groupKey, privateKey, openSsl],
      ] as const)),
] as const

/** A frame as far as sealing looks: bytes, of which 16 to 48 are the digest. */
function frameOf(bytes: number, seed = 1): Uint8Array {
  const random = seededRandom(seed)
  return Uint8Array.from({ length: bytes }, () => Math.floor(random() * 256))
}

const isEqual = (one: Uint8Array | undefined, other: Uint8Array): boolean =>
  one !== undefined && Buffer.compare(one, other) === 0

type Sealing = ReturnType<SenderKeys['open']>

function seal({ sealer }: Sealing, slice: number, frame: Uint8Array): Uint8Array | undefined {
  const buffer = new Uint8Array(frame.length + sealer!.extraBytes)
  buffer.set(frame)
  return sealer!.seal(slice, buffer, frame.length)
}

describe.each(MODES)('a frame that is %s', (_name, key, signKey, engine) => {
  const mode = { isKeyed: key !== undefined, isSigned: signKey !== undefined }
  const sender = (session = SESSION): Sealing => new SenderKeys(key, signKey, engine).open(session, 'image')
  const receiver = new ReceiverKeys(key, signKey && publicKey, engine)
  const open = (slice: number, sealed: Uint8Array, session = SESSION, imageId = 'image'): Uint8Array | undefined =>
    receiver.open(session, imageId, mode).opener!.open(slice, sealed.slice())

  it.each([64, 65, 4096, 264_240])('of %d bytes is opened as it was', (bytes) => {
    const frame = frameOf(bytes)
    const sealed = seal(sender(), 0, frame)!
    expect(sealed).toHaveLength(bytes + (mode.isKeyed ? 16 : 0) + (mode.isSigned ? 64 : 0))
    expect(isEqual(open(0, sealed), frame)).toBe(true)
  })

  it('is refused with any bit that counts turned over', () => {
    const sealed = seal(sender(), 0, frameOf(64))!
    // Of a frame that is only signed, the digest covers the rest, and is checked by whoever decodes it.
    const isCovered = (at: number): boolean => mode.isKeyed || (at >= 16 && at < 48) || at >= 64
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const copy = sealed.slice()
      copy[bit >> 3]! ^= 1 << (bit & 7)
      if (isCovered(bit >> 3)) expect(open(0, copy)).toBeUndefined()
    }
  })

  it('is refused as another slice, in another session, of another image, or cut short', () => {
    const sealed = seal(sender(), 0, frameOf(300))!
    expect(open(1, sealed)).toBeUndefined()
    expect(open(0, sealed, { high: SESSION.high, low: 8 })).toBeUndefined()
    expect(open(0, sealed, SESSION, 'imagine')).toBeUndefined()
    expect(open(0, sealed.subarray(1))).toBeUndefined()
    expect(open(0, sealed.subarray(0, 299))).toBeUndefined()
    expect(open(0, sealed.subarray(0, 20))).toBeUndefined()
  })

  it('is the same each time it is sealed', () => {
    const session = sender()
    const sealed = [0, 1, 2].map((slice) => seal(session, slice, frameOf(100, slice))!)
    expect(seal(session, 1, frameOf(100, 1))).toEqual(sealed[1])
  })
})

describe('an encrypted frame', () => {
  const sender = (): Sealing => new SenderKeys(groupKey).open(SESSION, 'image')

  it('shows nothing of head, digest or data', () => {
    const frame = new Uint8Array(2048).fill(0x41)
    const sealed = Buffer.from(seal(sender(), 0, frame)!)
    for (let at = 0; at + 8 <= 2048; at += 8) expect(sealed.indexOf(frame.subarray(at, at + 8))).toBe(-1)
    // Equal slices are not told as equal.
    const again = new SenderKeys(groupKey).open(SESSION, 'image')
    seal(again, 0, frameOf(2048))
    expect(Buffer.compare(seal(again, 1, frame)!, sealed)).not.toBe(0)
  })

  it('is never given out for other bytes under the same nonce', () => {
    const session = sender()
    for (let slice = 0; slice < 3000; slice++) seal(session, slice, frameOf(64, slice))
    const changed = frameOf(64, 1500)
    changed[63]! ^= 1
    const buffer = new Uint8Array(80)
    buffer.set(changed)
    expect(session.sealer!.seal(1500, buffer, 64)).toBeUndefined()
    expect(buffer).toEqual(new Uint8Array(80))
    expect(seal(session, 1500, frameOf(64, 1500))).toBeDefined()
    expect(() => seal(session, 3001, frameOf(64))).toThrow(RangeError)
  })

  it('cannot be opened with another group key', () => {
    const sealed = seal(sender(), 0, frameOf(64))!
    const other = new ReceiverKeys(createSecretKey(Buffer.alloc(32, 2)))
    expect(other.open(SESSION, 'image', { isKeyed: true, isSigned: false }).opener!.open(0, sealed)).toBeUndefined()
  })
})

describe('a signed frame', () => {
  const mode = { isKeyed: true, isSigned: true }

  it('of another signer is refused by a receiver that verifies, though it holds the group key', () => {
    const forger = new SenderKeys(groupKey, stranger.privateKey).open(SESSION, 'image')
    const sealed = seal(forger, 0, frameOf(64))!
    expect(
      new ReceiverKeys(groupKey, publicKey).open(SESSION, 'image', mode).opener!.open(0, sealed.slice()),
    ).toBeUndefined()
    expect(isEqual(new ReceiverKeys(groupKey).open(SESSION, 'image', mode).opener!.open(0, sealed), frameOf(64))).toBe(
      true,
    )
  })

  it('without its signature is refused', () => {
    const forger = new SenderKeys(groupKey).open(SESSION, 'image')
    const sealed = seal(forger, 0, frameOf(200))!
    expect(new ReceiverKeys(groupKey, publicKey).open(SESSION, 'image', mode).opener!.open(0, sealed)).toBeUndefined()
  })
})

it('the root digest is told plain in an open session only', () => {
  const digest = new Uint8Array(32).fill(7)
  const told = [new SenderKeys(), new SenderKeys(undefined, privateKey), new SenderKeys(groupKey)].map((keys) =>
    keys.open(SESSION, 'image').rootDigest(digest),
  )
  expect(told.map((each) => Buffer.compare(each, digest) === 0)).toEqual([true, true, false])
  const receiver = new ReceiverKeys(groupKey).open(SESSION, 'image', { isKeyed: true, isSigned: false })
  expect(receiver.rootDigest(digest)).toEqual(told[2])
  const other = new SenderKeys(groupKey).open({ high: 1, low: 1 }, 'image').rootDigest(digest)
  expect(Buffer.compare(other, told[2]!)).not.toBe(0)
})
