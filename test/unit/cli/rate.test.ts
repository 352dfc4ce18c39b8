import { expect, it } from 'vitest'
import { RateMeter } from '../../../src/cli/rate-meter.ts'
import { scaledCap } from '../../../src/cli/scaled-cap.ts'

it('measures no rate before the second count', () => {
  const meter = new RateMeter()
  expect(meter.bitsPerSec).toBe(0)
  meter.count(250, 1000)
  expect(meter.bitsPerSec).toBe(0)
  meter.count(250, 2000)
  expect(meter.bitsPerSec).toBe(0)
})

it('measures over the last two seconds', () => {
  const meter = new RateMeter()
  for (let atMs = 0; atMs <= 10_000; atMs += 250) meter.count(atMs, atMs < 5000 ? 0 : (atMs - 5000) * 100)
  expect(meter.bitsPerSec).toBe(800_000)
})

it('follows a change within two seconds', () => {
  const meter = new RateMeter()
  for (let atMs = 0; atMs <= 5000; atMs += 250) meter.count(atMs, atMs * 100)
  for (let atMs = 5250; atMs <= 7000; atMs += 250) meter.count(atMs, 500_000)
  expect(meter.bitsPerSec).toBe(0)
})

it('scales the cap, or the present rate where there is none, within the bounds of the library', () => {
  expect(scaledCap(100_000_000, 7, 2)).toBe(200_000_000)
  expect(scaledCap(undefined, 333_333_333, 0.5)).toBe(166_666_667)
  expect(scaledCap(12_000, 0, 0.5)).toBe(10_000)
  expect(scaledCap(undefined, 0, 2)).toBe(10_000)
  expect(scaledCap(300_000_000_000, 0, 2)).toBe(400_000_000_000)
})
