import { describe, expect, it } from 'vitest'
import {
  announcedGeometry,
  DATA_HEADER_BYTES,
  frameHeadBytes,
  MAX_CONTROL_BYTES,
  MAX_MTU_BYTES,
  MAX_RUN_BYTES,
  MAX_SLICE_BYTES,
  MAX_SOURCE_SYMBOL_COUNT,
  maxFrameBytes,
  MIN_MTU_BYTES,
  MIN_SLICE_BYTES,
  overheadBytes,
  planGeometry,
  sourceSymbolCount,
} from '../../../src/protocol/index.ts'

describe('the geometry of a session', () => {
  it('fills Ethernet: a raw slice of 256 KiB takes 182 symbols', () => {
    const geometry = planGeometry({ family: 4 })
    expect(geometry).toEqual({ sliceBytes: 262_144, packetBytes: 1472, symbolBytes: 1448 })
    expect(sourceSymbolCount(frameHeadBytes(1) + geometry.sliceBytes, geometry.symbolBytes)).toBe(182)
    expect(planGeometry({ family: 6 })).toEqual({ sliceBytes: 262_144, packetBytes: 1452, symbolBytes: 1428 })
  })

  it.each([4, 6] as const)('has slices that fit, whatever the MTU, over IPv%i', (family) => {
    for (let mtuBytes = MIN_MTU_BYTES; mtuBytes <= MAX_MTU_BYTES; mtuBytes += 7) {
      const { sliceBytes, packetBytes, symbolBytes } = planGeometry({ family, mtuBytes })
      expect(sourceSymbolCount(maxFrameBytes(sliceBytes), symbolBytes)).toBeLessThanOrEqual(MAX_SOURCE_SYMBOL_COUNT)
      expect(packetBytes + overheadBytes(family)).toBeLessThanOrEqual(mtuBytes)
      expect(packetBytes).toBeLessThanOrEqual(MAX_RUN_BYTES)
      expect(packetBytes).toBeGreaterThanOrEqual(MAX_CONTROL_BYTES)
      expect(symbolBytes).toBe(packetBytes - DATA_HEADER_BYTES)
      expect(announcedGeometry(sliceBytes, packetBytes)).toEqual({ sliceBytes, packetBytes, symbolBytes })
    }
  })

  it('halves the slice until it fits a small MTU', () => {
    expect(planGeometry({ family: 4, mtuBytes: 1280 }).sliceBytes).toBe(262_144)
    expect(planGeometry({ family: 4, mtuBytes: 1000 }).sliceBytes).toBe(131_072)
    expect(planGeometry({ family: 6, mtuBytes: MIN_MTU_BYTES }).sliceBytes).toBe(65_536)
  })

  it('takes the slice size that is asked for', () => {
    expect(planGeometry({ family: 4, sliceBytes: 20_480 }).sliceBytes).toBe(20_480)
    expect(planGeometry({ family: 4, mtuBytes: 9000, sliceBytes: MAX_SLICE_BYTES }).sliceBytes).toBe(MAX_SLICE_BYTES)
  })

  it.each([
    ['an MTU below the least', { mtuBytes: MIN_MTU_BYTES - 1 }, /^MTU must be .* got 575$/],
    ['an MTU above the most', { mtuBytes: MAX_MTU_BYTES + 1 }, /^MTU must be .* got 65536$/],
    ['half a byte of MTU', { mtuBytes: 1500.5 }, /^MTU must be .* got 1500.5$/],
    ['a small slice', { sliceBytes: MIN_SLICE_BYTES - 4096 }, /^slice size must be a multiple of 4096/],
    ['a large slice', { sliceBytes: MAX_SLICE_BYTES + 4096 }, /^slice size must be a multiple of 4096/],
    ['a slice of broken pages', { sliceBytes: 20_000 }, /^slice size must be a multiple of 4096/],
    ['no number', { sliceBytes: NaN }, /^slice size must be a multiple of 4096/],
    ['a slice beyond 223 packets', { sliceBytes: 524_288 }, /^slice size 524288 does not fit packets of MTU 1500/],
  ])('is not planned for %s', (_, options, failure) => {
    expect(() => planGeometry({ family: 4, ...options })).toThrow(RangeError)
    expect(() => planGeometry({ family: 4, ...options })).toThrow(failure)
  })
})

describe('an announced geometry', () => {
  it.each([
    ['a slice of broken pages', 20_000, 1472],
    ['no slice', 0, 1472],
    ['a huge slice', 2_097_152, 65_000],
    ['short packets', 16_384, MAX_CONTROL_BYTES - 1],
    ['long packets', 262_144, MAX_RUN_BYTES + 1],
    ['a slice beyond 223 packets', 524_288, 1472],
  ])('is refused: %s', (_, sliceBytes, packetBytes) => {
    expect(announcedGeometry(sliceBytes, packetBytes)).toBeUndefined()
  })
})
