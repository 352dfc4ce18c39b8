import { createSecretKey, generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import {
  encodeDataFieldsInto,
  encodePrefixInto,
  encodeSealed,
  openSealed,
  PacketType,
  peekSealed,
} from '../../src/protocol/index.ts'
import { ReceiverKeys, SenderKeys } from '../../src/trust/index.ts'
import { SAMPLES } from '../unit/protocol/sample-messages.ts'

const groupKey = createSecretKey(Buffer.alloc(32, 1))
const { privateKey, publicKey } = generateKeyPairSync('ed25519')

const ids = fc.record({ high: fc.nat(0xffff_ffff), low: fc.integer({ min: 1, max: 0xffff_ffff }) })
const modes = fc.constantFrom([true, false], [false, true], [true, true]) as fc.Arbitrary<[boolean, boolean]>
const messages = fc.constantFrom(...SAMPLES)

/** Bytes with some of them changed; never the same as before. */
const damaged = (bytes: Uint8Array, from: number): fc.Arbitrary<Uint8Array> =>
  fc
    .array(fc.tuple(fc.integer({ min: from, max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 8,
    })
    .map((changes) => {
      const copy = bytes.slice()
      for (const [at, mask] of changes) copy[at]! ^= mask
      return copy
    })
    .filter((copy) => Buffer.compare(copy, bytes) !== 0)

it('a sealed message that was tampered with is refused, whatever was changed', () => {
  fc.assert(
    fc.property(
      messages,
      ids,
      modes,
      fc.nat(2 ** 31),
      fc.gen(),
      (message, session, [isKeyed, isSigned], counter, draw) => {
        const keys = new SenderKeys(isKeyed ? groupKey : undefined, isSigned ? privateKey : undefined)
        const trust = keys.open(session, 'image').trust!
        const packet = encodeSealed(message, session, 7, counter, trust, trust)
        const proof = new ReceiverKeys(isKeyed ? groupKey : undefined, isSigned ? publicKey : undefined).trust!.open(
          session,
        )
        expect(openSealed(packet, 0, packet.length, proof)).toMatchObject({ message, counter })
        // RepairEcho carries no signature, and without a group key nothing else either.
        if (message.kind === 'repair-echo' && !isKeyed) return
        const copy = draw(() => damaged(packet, 4))
        expect(typeof openSealed(copy, 0, copy.length, proof)).toBe('string')
      },
    ),
    { numRuns: 500 },
  )
})

it('a sealed frame that was tampered with is refused, whatever was changed', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 64, maxLength: 300 }),
      ids,
      fc.boolean(),
      fc.gen(),
      (frame, session, isSigned, draw) => {
        const { sealer } = new SenderKeys(groupKey, isSigned ? privateKey : undefined).open(session, 'image')
        const buffer = new Uint8Array(frame.length + sealer!.extraBytes)
        buffer.set(frame)
        const sealed = sealer!.seal(0, buffer, frame.length)!
        const mode = { isKeyed: true, isSigned }
        const { opener } = new ReceiverKeys(groupKey, isSigned ? publicKey : undefined).open(session, 'image', mode)
        expect(Buffer.compare(opener!.open(0, sealed.slice())!, frame)).toBe(0)
        expect(
          opener!.open(
            0,
            draw(() => damaged(sealed, 0)),
          ),
        ).toBeUndefined()
      },
    ),
    { numRuns: 500 },
  )
})

it('a data packet that was tampered with is refused, whatever was changed behind its prefix', () => {
  const { guard } = new SenderKeys(groupKey).open({ high: 1, low: 1 }, 'image').trust!
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 40, maxLength: 2000 }),
      fc.nat(2 ** 26 - 1),
      fc.nat(254),
      fc.gen(),
      (packet, slice, symbol, draw) => {
        encodePrefixInto(packet, 0, PacketType.data, { high: 1, low: 1 }, 7)
        encodeDataFieldsInto(packet, 0, slice, 1000, symbol)
        guard!.tagInto(packet, 0, packet.length)
        expect(guard!.isGenuine(packet, 0, packet.length)).toBe(true)
        const copy = draw(() => damaged(packet, 16))
        expect(guard!.isGenuine(copy, 0, copy.length)).toBe(false)
      },
    ),
    { numRuns: 1000 },
  )
})

it('no bytes make the reading of a sealed packet throw', () => {
  const proof = new ReceiverKeys(groupKey, publicKey).trust!.open({ high: 1, low: 1 })
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 29, maxLength: 600 }), fc.boolean(), (bytes, isShort) => {
      encodePrefixInto(bytes, 0, PacketType.sealed, { high: 1, low: 1 }, 7)
      if (isShort) bytes.set([0, bytes.length % 200, 0, bytes.length % 8], 16)
      for (const each of [proof, {}]) openSealed(bytes, 0, bytes.length, each)
      peekSealed(bytes, 0, bytes.length)
    }),
    { numRuns: 2000 },
  )
})
