import { expect, it } from 'vitest'
import { batchBytes, burstBytes, catchUpBytes } from '../../../src/ratelimit/index.ts'

it('sizes a batch at 1 ms and the bucket at 4 ms of the rate', () => {
  expect(batchBytes(1e9, 1472)).toBe(125_000)
  expect(burstBytes(1e9, 1472)).toBe(500_000)
})

it('holds 32 ms of the rate while it is behind, up to 256 KiB', () => {
  expect(catchUpBytes(10e6, 1472)).toBe(40_000)
  expect(catchUpBytes(100e6, 1472)).toBe(262_144)
  expect(catchUpBytes(1e9, 1472)).toBe(500_000)
})

it('never goes below one packet', () => {
  expect(batchBytes(1e6, 1472)).toBe(1472)
  expect(burstBytes(1e6, 1472)).toBe(1472)
  expect(catchUpBytes(1e5, 1472)).toBe(1472)
})
