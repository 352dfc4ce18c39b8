import { describe, expect, it } from 'vitest'
import { FecDecoder, MAX_SYMBOLS, type ParitySymbol, supportedKernels } from '../../../src/fec/index.ts'
import { seededRandom } from '../../../src/random.ts'
import { parityReference } from '../../reference/reed-solomon.ts'

const SYMBOL_BYTES = 21

function randomFrame(sourceCount: number): Uint8Array {
  const random = seededRandom(sourceCount)
  return Uint8Array.from({ length: sourceCount * SYMBOL_BYTES }, () => random() * 256)
}

function parityOf(frame: Uint8Array, indexes: readonly number[]): ParitySymbol[] {
  return indexes.map((symbolIndex) => ({ symbolIndex, bytes: parityReference(frame, SYMBOL_BYTES, symbolIndex) }))
}

function lose(frame: Uint8Array, missing: readonly number[]): Uint8Array {
  const rest = frame.slice()
  for (const index of missing) rest.fill(0xee, index * SYMBOL_BYTES, (index + 1) * SYMBOL_BYTES)
  return rest
}

const range = (start: number, end: number): number[] => Array.from({ length: end - start }, (_, n) => start + n)

describe.each(supportedKernels())('FecDecoder with kernel %s', (kernel) => {
  it.each([
    ['the only symbol', 1, [0], [254]],
    ['the first and the last symbol', 9, [0, 8], [9, 10]],
    ['symbols listed in any order, from parity in any order', 9, [5, 1, 3], [200, 9, 31]],
    ['all symbols', 127, range(0, 127), range(128, MAX_SYMBOLS)],
    ['the most symbols that parity can replace at 223', 223, range(100, 132), range(223, MAX_SYMBOLS)],
    ['with more parity than is needed', 9, [4], [11, 12, 13]],
  ])('rebuilds %s', (_, sourceCount, missing, parityIndexes) => {
    const frame = randomFrame(sourceCount)
    const rest = lose(frame, missing)
    new FecDecoder({ kernel }).decode(rest, SYMBOL_BYTES, missing, parityOf(frame, parityIndexes))
    expect(rest).toEqual(frame)
  })

  it('rebuilds frame after frame', () => {
    const decoder = new FecDecoder({ kernel })
    for (const sourceCount of [40, 3, 17]) {
      const frame = randomFrame(sourceCount)
      const rest = lose(frame, [1, 2])
      decoder.decode(rest, SYMBOL_BYTES, [1, 2], parityOf(frame, [250, 251]))
      expect(rest).toEqual(frame)
    }
  })

  it('takes parity that lies in the places of missing symbols', () => {
    const frame = randomFrame(6)
    const rest = frame.slice()
    const place = (index: number) => rest.subarray(index * SYMBOL_BYTES, (index + 1) * SYMBOL_BYTES)
    place(1).set(parityReference(frame, SYMBOL_BYTES, 6))
    place(4).set(parityReference(frame, SYMBOL_BYTES, 7))
    const parity = [
      { symbolIndex: 7, bytes: place(4) },
      { symbolIndex: 6, bytes: place(1) },
    ]
    new FecDecoder({ kernel }).decode(rest, SYMBOL_BYTES, [1, 4], parity)
    expect(rest).toEqual(frame)
  })

  it('only reads parity, and leaves the parity that it does not need', () => {
    const frame = randomFrame(6)
    const parity = parityOf(frame, [6, 7])
    const before = structuredClone(parity)
    const broken = { symbolIndex: 6, bytes: new Uint8Array() }
    new FecDecoder({ kernel }).decode(lose(frame, [0, 1]), SYMBOL_BYTES, [0, 1], [...parity, broken])
    expect(parity).toEqual(before)
  })

  it('leaves a frame alone of which nothing is missing', () => {
    const frame = randomFrame(6)
    const rest = frame.slice()
    new FecDecoder({ kernel }).decode(rest, SYMBOL_BYTES, [], [])
    expect(rest).toEqual(frame)
  })
})

describe('FecDecoder', () => {
  const frame = randomFrame(6)
  const [first, second] = parityOf(frame, [6, 7]) as [ParitySymbol, ParitySymbol]

  it.each([
    ['too little parity', [0, 1], [first], 'parity has 1 symbols, expected 2, as many as are missing'],
    ['a missing index below 0', [-1], [first], 'Index of a missing symbol is -1, expected an integer from 0 to 5'],
    ['a missing index of parity', [6], [first], 'Index of a missing symbol is 6, expected an integer from 0 to 5'],
    ['a missing index given twice', [1, 1], [first, second], 'missing names a source symbol twice'],
    [
      'parity of a source index',
      [1],
      [{ symbolIndex: 5, bytes: first.bytes }],
      'Index of a parity symbol is 5, expected an integer from 6 to 254',
    ],
    [
      'parity of an index beyond the field',
      [1],
      [{ symbolIndex: 255, bytes: first.bytes }],
      'Index of a parity symbol is 255, expected an integer from 6 to 254',
    ],
    ['the same parity twice', [1, 2], [first, first], 'parity holds a parity symbol twice'],
    [
      'parity of another length',
      [1],
      [{ symbolIndex: 6, bytes: new Uint8Array(20) }],
      'Parity symbol 6 has 20 bytes, expected 21',
    ],
  ])('refuses %s and leaves the frame alone', (_, missing, parity, message) => {
    const rest = frame.slice()
    expect(() => new FecDecoder().decode(rest, SYMBOL_BYTES, missing, parity)).toThrow(new RangeError(message))
    expect(rest).toEqual(frame)
  })

  it('refuses a frame that is not whole symbols', () => {
    expect(() => new FecDecoder().decode(new Uint8Array(43), 21, [0], [first])).toThrow(
      new RangeError('frame has 43 bytes, expected a multiple of symbolBytes (21)'),
    )
  })

  it('refuses a frame beyond the limits of the code', () => {
    expect(() => new FecDecoder().decode(new Uint8Array(224), 1, [], [])).toThrow(RangeError)
  })
})
