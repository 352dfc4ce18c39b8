import { expect, it } from 'vitest'
import type { ReceiveProgress } from '../../../src/receiver/index.ts'
import { receiveProgress } from '../../../src/receiver/receive-progress.ts'
import { Hand } from './hand.ts'

const MIB = 1024 * 1024
const ANNOUNCE = { imageName: 'debian', imageBytes: 400 * MIB }

/** After ten seconds of a transfer. */
function progressOf(
  slicesSettled: number,
  slicesTotal: number | undefined,
  coveredBytes: number,
  slicesExpected?: number,
): ReceiveProgress {
  const stats = { ...new Hand().machine.stats(), slicesSettled, slicesTotal, slicesExpected }
  const consumer = { coveredBytes, resumedBytes: 50 * MIB }
  return receiveProgress('receiving', 12e6, 10e6, ANNOUNCE, consumer, 200, stats)
}

it('a receiver measures by the size of the image, and by slices once it knows their number', () => {
  expect(progressOf(240, undefined, 60 * MIB)).toMatchObject({ percent: 15, etaMs: 340_000 })
  expect(progressOf(380, 400, 95 * MIB)).toMatchObject({ percent: 95, etaMs: (10_000 * 20) / 180 })
  // Holes follow the last slice: there is nothing that it waits for.
  expect(progressOf(400, 400, 100 * MIB)).toMatchObject({ percent: 100, etaMs: 0 })
})

it('a receiver whose sender expects a number of slices measures by that, so that holes count for nothing', () => {
  expect(progressOf(240, undefined, 390 * MIB, 480)).toMatchObject({ percent: 50, etaMs: (10_000 * 240) / 40 })
  expect(progressOf(380, 400, 395 * MIB, 480).percent).toBe(95)
  // There was more than was expected.
  expect(progressOf(490, undefined, 399 * MIB, 480).percent).toBe(100)
})

it('a receiver tells no time left before anything new is settled', () => {
  expect(progressOf(200, undefined, 50 * MIB).etaMs).toBeUndefined()
  expect(progressOf(200, 400, 50 * MIB).etaMs).toBeUndefined()
  expect(progressOf(0, 0, 0)).toMatchObject({ percent: 100 })
})
