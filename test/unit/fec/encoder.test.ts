import { describe, expect, it } from 'vitest'
import {
  FecEncoder,
  type FecKernel,
  MAX_FRAME_BYTES,
  MAX_SOURCE_SYMBOLS,
  MAX_SYMBOL_BYTES,
  MAX_SYMBOLS,
  supportedKernels,
} from '../../../src/fec/index.ts'
import { seededRandom } from '../../../src/random.ts'
import { parityReference } from '../../reference/reed-solomon.ts'

function randomFrame(lengthBytes: number, seed = 1): Uint8Array {
  const random = seededRandom(seed)
  return Uint8Array.from({ length: lengthBytes }, () => random() * 256)
}

function parityOf(encoder: FecEncoder, symbolIndex: number, symbolBytes: number): Uint8Array {
  const parity = new Uint8Array(symbolBytes)
  encoder.parityInto(symbolIndex, parity, 0)
  return parity
}

describe.each(supportedKernels())('FecEncoder with kernel %s', (kernel) => {
  // Worked out from the formula in src/fec/cauchy.ts by a few lines of Python 3, apart from this code.
  it('makes known parity symbols', () => {
    const encoder = new FecEncoder({ kernel })
    encoder.load(Uint8Array.of(0x01, 0x23, 0x45, 0x67, 0x89, 0xab), 2)
    const parity = [3, 4, 5, 254].map((index) => parityOf(encoder, index, 2))
    expect(parity.map((bytes) => Buffer.from(bytes).toString('hex'))).toEqual(['a665', '3023', 'ee0f', 'b231'])
  })

  it('fills the last symbol up with zeros, whatever was loaded before', () => {
    const encoder = new FecEncoder({ kernel })
    encoder.load(randomFrame(300, 2), 100)
    const frame = randomFrame(201)
    encoder.load(frame, 100)
    const whole = new Uint8Array(300)
    whole.set(frame)
    expect(parityOf(encoder, 3, 100)).toEqual(parityReference(whole, 100, 3))
  })

  it('makes the last of the most symbols, and leaves the bytes around it alone', () => {
    const encoder = new FecEncoder({ kernel })
    const frame = randomFrame(MAX_SOURCE_SYMBOLS * 33)
    encoder.load(frame, 33)
    const into = new Uint8Array(35).fill(0xee)
    encoder.parityInto(MAX_SYMBOLS - 1, into, 1)
    expect(into.subarray(1, 34)).toEqual(parityReference(frame, 33, MAX_SYMBOLS - 1))
    expect([into[0], into[34]]).toEqual([0xee, 0xee])
  })

  it('takes the longest symbols and the longest frame', () => {
    const encoder = new FecEncoder({ kernel })
    const longest = randomFrame(2 * MAX_SYMBOL_BYTES)
    encoder.load(longest, MAX_SYMBOL_BYTES)
    expect(parityOf(encoder, 2, MAX_SYMBOL_BYTES)).toEqual(parityReference(longest, MAX_SYMBOL_BYTES, 2))
    const frame = new Uint8Array(MAX_FRAME_BYTES)
    frame.set(randomFrame(16_384), MAX_FRAME_BYTES - 16_384)
    encoder.load(frame, 16_384)
    expect(parityOf(encoder, 128, 16_384)).toEqual(parityReference(frame, 16_384, 128))
  })

  it('copies the frame', () => {
    const encoder = new FecEncoder({ kernel })
    const frame = randomFrame(64)
    const expected = parityReference(frame, 16, 4)
    encoder.load(frame, 16)
    frame.fill(0)
    expect(parityOf(encoder, 4, 16)).toEqual(expected)
  })
})

describe('FecEncoder', () => {
  it.each([
    ['an empty frame', 0, 10, 'Number of source symbols is 0, expected an integer from 1 to 223'],
    ['too many symbols', 2231, 10, 'Number of source symbols is 224, expected an integer from 1 to 223'],
    ['a symbol of no bytes', 10, 0, 'symbolBytes is 0, expected an integer from 1 to 65507'],
    ['a symbol of half bytes', 10, 2.5, 'symbolBytes is 2.5, expected an integer from 1 to 65507'],
    ['too long a symbol', 10, 65_508, 'symbolBytes is 65508, expected an integer from 1 to 65507'],
    [
      'too long a frame',
      2_097_152,
      20_000,
      'Bytes of all source symbols is 2100000, expected an integer from 1 to 2097152',
    ],
  ])('refuses %s and keeps the frame before', (_, frameBytes, symbolBytes, message) => {
    const encoder = new FecEncoder()
    const frame = randomFrame(40)
    encoder.load(frame, 10)
    expect(() => encoder.load(new Uint8Array(frameBytes), symbolBytes)).toThrow(new RangeError(message))
    expect(parityOf(encoder, 4, 10)).toEqual(parityReference(frame, 10, 4))
  })

  it('refuses parity before a frame is loaded', () => {
    expect(() => new FecEncoder().parityInto(1, new Uint8Array(10), 0)).toThrow(TypeError)
  })

  it.each([3, 255, 4.5, Number.NaN])('refuses to make parity of index %d for 4 source symbols', (symbolIndex) => {
    const encoder = new FecEncoder()
    encoder.load(randomFrame(40), 10)
    expect(() => encoder.parityInto(symbolIndex, new Uint8Array(10), 0)).toThrow(/^symbolIndex is .* from 4 to 254$/)
  })

  it.each([-1, 3, 0.5])('refuses to write 10 bytes at offset %d of 12', (offset) => {
    const encoder = new FecEncoder()
    encoder.load(randomFrame(40), 10)
    expect(() => encoder.parityInto(4, new Uint8Array(12), offset)).toThrow(/^offset is .* from 0 to 2$/)
  })

  it('refuses a kernel that does not exist', () => {
    const encoder = new FecEncoder({ kernel: 'mmx' as FecKernel })
    expect(() => encoder.load(new Uint8Array(1), 1)).toThrow(RangeError)
  })
})
