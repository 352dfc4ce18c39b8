import { expect, it } from 'vitest'
import { batchBytes, burstBytes } from '../../../src/ratelimit/index.ts'

it('sizes a batch at 1 ms and the bucket at 4 ms of the rate', () => {
  expect(batchBytes(1e9, 1472)).toBe(125_000)
  expect(burstBytes(1e9, 1472)).toBe(500_000)
})

it('never goes below one packet', () => {
  expect(batchBytes(1e6, 1472)).toBe(1472)
  expect(burstBytes(1e6, 1472)).toBe(1472)
})
