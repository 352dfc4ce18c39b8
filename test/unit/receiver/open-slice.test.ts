import { describe, expect, test } from 'vitest'
import { FecDecoder, FecEncoder } from '../../../src/fec/index.ts'
import { seededRandom } from '../../../src/random.ts'
import { OpenSlice } from '../../../src/receiver/machine/open-slice.ts'

const SYMBOL_BYTES = 32
const SOURCE_COUNT = 10
const FRAME_BYTES = SYMBOL_BYTES * SOURCE_COUNT - 5

const frame = Uint8Array.from({ length: FRAME_BYTES }, (_, index) => (index * 7 + 3) & 0xff)
const encoder = new FecEncoder()

/** The symbol, behind eight bytes of something else. */
function symbolPacket(symbol: number): Uint8Array {
  const bytes = new Uint8Array(8 + SYMBOL_BYTES)
  if (symbol < SOURCE_COUNT) bytes.set(frame.subarray(symbol * SYMBOL_BYTES, (symbol + 1) * SYMBOL_BYTES), 8)
  else {
    encoder.load(frame, SYMBOL_BYTES)
    encoder.parityInto(symbol, bytes, 8)
  }
  return bytes
}

const add = (open: OpenSlice, symbol: number): boolean => open.add(symbol, symbolPacket(symbol), 8)

describe('OpenSlice', () => {
  test('rebuilds the frame from any k symbols in any order', () => {
    const random = seededRandom(9)
    const open = new OpenSlice(12, SYMBOL_BYTES)
    for (let round = 0; round < 200; round++) {
      open.begin(round, FRAME_BYTES)
      const symbols = Array.from({ length: 20 }, (_, symbol) => symbol)
      for (let at = symbols.length - 1; at > 0; at--) {
        const other = Math.floor(random() * (at + 1))
        ;[symbols[at], symbols[other]] = [symbols[other]!, symbols[at]!]
      }
      const used = symbols.slice(0, SOURCE_COUNT)
      for (const symbol of used) {
        expect(open.isWhole).toBe(false)
        expect(add(open, symbol)).toBe(true)
      }
      expect(open.isWhole).toBe(true)
      expect(open.heardEnd).toBe(Math.max(...used) + 1)
      expect(open.rebuild(new FecDecoder())).toBe(used.filter((symbol) => symbol >= SOURCE_COUNT).length)
      expect(open.frame).toEqual(frame)
    }
  })

  test('takes each symbol once, also one that had to move', () => {
    const open = new OpenSlice(12, SYMBOL_BYTES)
    open.begin(0, FRAME_BYTES)
    expect(add(open, 15)).toBe(true)
    expect(add(open, 0)).toBe(true)
    expect(add(open, 15)).toBe(false)
    expect(add(open, 0)).toBe(false)
    expect([open.heldCount, open.sourcesHeld, open.deficit]).toEqual([2, 1, SOURCE_COUNT - 2])
  })

  test('knows by majority when it was begun with a wrong frame length', () => {
    const open = new OpenSlice(12, SYMBOL_BYTES)
    open.begin(0, FRAME_BYTES)
    add(open, 1)
    expect(open.noteConflict()).toBe(false)
    expect(open.noteConflict()).toBe(true)
  })
})
