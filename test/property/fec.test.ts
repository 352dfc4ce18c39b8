import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  FecDecoder,
  FecEncoder,
  MAX_SOURCE_SYMBOLS,
  MAX_SYMBOLS,
  type ParitySymbol,
  supportedKernels,
} from '../../src/fec/index.ts'
import { seededRandom } from '../../src/random.ts'
import { decodeReference, parityReference } from '../reference/reed-solomon.ts'

/** A frame of random bytes, some of its symbols lost, and as many parity indexes, of all that there are. */
const losses = fc
  .record({
    sourceCount: fc.oneof(fc.constantFrom(1, 2, MAX_SOURCE_SYMBOLS), fc.integer({ min: 1, max: MAX_SOURCE_SYMBOLS })),
    symbolBytes: fc.integer({ min: 1, max: 200 }),
    seed: fc.integer(),
  })
  .chain(({ sourceCount, symbolBytes, seed }) => {
    const random = seededRandom(seed)
    const frame = Uint8Array.from({ length: sourceCount * symbolBytes }, () => random() * 256)
    const sources = Array.from({ length: sourceCount }, (_, c) => c)
    const parities = Array.from({ length: MAX_SYMBOLS - sourceCount }, (_, row) => sourceCount + row)
    return fc.integer({ min: 1, max: Math.min(sources.length, parities.length) }).chain((lossCount) =>
      fc.record({
        frame: fc.constant(frame),
        symbolBytes: fc.constant(symbolBytes),
        missing: fc.shuffledSubarray(sources, { minLength: lossCount, maxLength: lossCount }),
        parityIndexes: fc.shuffledSubarray(parities, { minLength: lossCount, maxLength: lossCount }),
      }),
    )
  })

function lose(frame: Uint8Array, symbolBytes: number, missing: readonly number[]): Uint8Array {
  const rest = frame.slice()
  for (const index of missing) rest.fill(0, index * symbolBytes, (index + 1) * symbolBytes)
  return rest
}

describe.each(supportedKernels())('kernel %s', (kernel) => {
  const encoder = new FecEncoder({ kernel })
  const decoder = new FecDecoder({ kernel })

  function encode(frame: Uint8Array, symbolBytes: number, indexes: readonly number[]): ParitySymbol[] {
    encoder.load(frame, symbolBytes)
    return indexes.map((symbolIndex) => {
      const bytes = new Uint8Array(symbolBytes)
      encoder.parityInto(symbolIndex, bytes, 0)
      return { symbolIndex, bytes }
    })
  }

  it('makes the same parity as the reference', () => {
    fc.assert(
      fc.property(losses, ({ frame, symbolBytes, parityIndexes }) => {
        const [symbolIndex] = parityIndexes as [number]
        const [parity] = encode(frame, symbolBytes, [symbolIndex])
        expect(parity?.bytes).toEqual(parityReference(frame, symbolBytes, symbolIndex))
      }),
      { numRuns: 60 },
    )
  })

  it('rebuilds any lost symbols from any parity symbols, as many as were lost', () => {
    fc.assert(
      fc.property(losses, ({ frame, symbolBytes, missing, parityIndexes }) => {
        const rest = lose(frame, symbolBytes, missing)
        decoder.decode(rest, symbolBytes, missing, encode(frame, symbolBytes, parityIndexes))
        expect(Buffer.compare(rest, frame)).toBe(0)
      }),
      { numRuns: 300 },
    )
  })

  it('rebuilds what the reference rebuilds, also from bytes that are no parity of the frame', () => {
    fc.assert(
      fc.property(losses, fc.integer(), ({ frame, symbolBytes, missing, parityIndexes }, seed) => {
        const random = seededRandom(seed)
        const few = missing.slice(0, 8)
        const parity = parityIndexes.map((symbolIndex) => ({
          symbolIndex,
          bytes: Uint8Array.from({ length: symbolBytes }, () => random() * 256),
        }))
        const [rest, expected] = [frame.slice(), frame.slice()]
        decoder.decode(rest, symbolBytes, few, parity)
        decodeReference(expected, symbolBytes, few, parity)
        expect(Buffer.compare(rest, expected)).toBe(0)
      }),
      { numRuns: 30 },
    )
  })
})
