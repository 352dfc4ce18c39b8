import { expect, it } from 'vitest'
import { ZeroScan } from '../../../src/sparse/index.ts'

it('sees every single byte that is not zero, at any alignment of buffer and range', () => {
  for (let shift = 0; shift < 5; shift++) {
    const bytes = new Uint8Array(64 + 5).subarray(shift, shift + 64)
    const scan = new ZeroScan(bytes)
    for (let at = 0; at < 64; at++) {
      bytes[at] = 0x80
      for (let start = 0; start <= 64; start += 3) {
        for (let end = start; end <= 64; end++) {
          if (scan.isZero(start, end) === (at >= start && at < end)) expect.fail(`${shift} ${at} ${start} ${end}`)
        }
      }
      bytes[at] = 0
    }
  }
})

it('looks at its own part of a buffer only', () => {
  const buffer = new Uint8Array(32).fill(1)
  buffer.fill(0, 3, 20)
  expect(new ZeroScan(buffer.subarray(3, 20)).isZero(0, 17)).toBe(true)
  expect(new ZeroScan(buffer.subarray(3, 21)).isZero(0, 18)).toBe(false)
  expect(new ZeroScan(buffer.subarray(2, 20)).isZero(0, 18)).toBe(false)
})

it('takes buffers without a whole word', () => {
  const buffer = new Uint8Array(8)
  for (let start = 0; start < 8; start++) {
    for (let end = start; end <= 8; end++)
      expect(new ZeroScan(buffer.subarray(start, end)).isZero(0, end - start)).toBe(true)
  }
  expect(new ZeroScan(new Uint8Array(0)).isZero(0, 0)).toBe(true)
  expect(new ZeroScan(Uint8Array.of(0, 1, 0).subarray(1)).isZero(0, 2)).toBe(false)
})
