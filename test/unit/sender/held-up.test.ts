import { expect, test } from 'vitest'
import { HandDriven } from './hand-driven.ts'

const CAP_BITS_PER_SEC = 10_000_000

/** Lets the machine run for 5 ms and then holds it up, again and again. @returns the bits that it sent in a second */
function bitsPerSecHeldUp(heldUpUs: number): number {
  const driven = new HandDriven(400, { maxBitrate: CAP_BITS_PER_SEC })
  driven.join(1)
  driven.until(200_000)
  const [beganUs, before] = [driven.nowUs, driven.machine.stats().wireBytes]
  while (driven.nowUs < beganUs + 1_000_000) {
    driven.until(driven.nowUs + 5000)
    driven.nowUs += heldUpUs
    driven.machine.handleTimeout(driven.nowUs)
    driven.drain()
  }
  return ((driven.machine.stats().wireBytes - before) * 8e6) / (driven.nowUs - beganUs)
}

test.each([3, 20, 30])('a sender that is held up for %i ms at a time makes up for it', (heldUpMs) => {
  const bitsPerSec = bitsPerSecHeldUp(heldUpMs * 1000)
  expect(bitsPerSec).toBeGreaterThan(0.99 * CAP_BITS_PER_SEC)
  expect(bitsPerSec).toBeLessThan(1.01 * CAP_BITS_PER_SEC)
})

test('one that is held up for longer does not make up for all', () => {
  expect(bitsPerSecHeldUp(200_000)).toBeLessThan(0.25 * CAP_BITS_PER_SEC)
})
