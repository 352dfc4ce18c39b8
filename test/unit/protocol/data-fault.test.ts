import { describe, expect, it } from 'vitest'
import {
  dataFaultAt,
  encodeDataFieldsInto,
  frameHeadBytes,
  MAX_SLICE_COUNT,
  MAX_SOURCE_SYMBOL_COUNT,
  maxFrameBytes,
  planGeometry,
  sourceSymbolCount,
} from '../../../src/protocol/index.ts'

const geometry = planGeometry({ family: 4 })

function fault(sliceIndex: number, frameBytes: number, symbolIndex: number, length = geometry.packetBytes): unknown {
  const at = 7
  const bytes = new Uint8Array(at + length)
  encodeDataFieldsInto(bytes, at, sliceIndex, frameBytes, symbolIndex)
  return dataFaultAt(bytes, at, length, geometry)
}

const LARGEST = maxFrameBytes(geometry.sliceBytes)

describe('the fields of a data packet', () => {
  it('are taken up to their bounds', () => {
    expect(fault(0, frameHeadBytes(1), 0)).toBeUndefined()
    expect(fault(MAX_SLICE_COUNT - 1, LARGEST, 254)).toBeUndefined()
  })

  it.each([
    ['data-length', fault(0, 1000, 0, geometry.packetBytes - 1)],
    ['data-length', fault(0, 1000, 0, geometry.packetBytes + 1)],
    ['data-slice', fault(MAX_SLICE_COUNT, 1000, 0)],
    ['data-slice', fault(0xffff_ffff, 1000, 0)],
    ['data-frame', fault(0, 0, 0)],
    ['data-frame', fault(0, frameHeadBytes(1) - 1, 0)],
    ['data-frame', fault(0, LARGEST + 1, 0)],
    ['data-frame', fault(0, 0xff_ffff, 0)],
    ['data-symbol', fault(0, 1000, 255)],
  ])('are refused beyond: %s', (expected, got) => {
    expect(got).toBe(expected)
  })

  it('name at most 223 source symbols', () => {
    expect(sourceSymbolCount(LARGEST, geometry.symbolBytes)).toBeLessThanOrEqual(MAX_SOURCE_SYMBOL_COUNT)
  })
})
