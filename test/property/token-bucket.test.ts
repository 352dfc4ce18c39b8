import fc from 'fast-check'
import { expect, it } from 'vitest'
import { TokenBucket } from '../../src/ratelimit/index.ts'

const rate = fc.integer({ min: 1, max: 400_000_000_000 })
const depth = fc.integer({ min: 1, max: 300_000_000 })

it('sends at most rate × window + depth over every window, and loses nothing while busy', () => {
  const step = fc.record({
    waitUs: fc.integer({ min: 0, max: 5000 }),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  fc.assert(
    fc.property(rate, depth, fc.array(step, { maxLength: 60 }), (bitsPerSec, depthBytes, steps) => {
      const bucket = new TokenBucket(0, bitsPerSec, depthBytes)
      const sent: { us: number; bytes: number }[] = []
      let us = 0
      for (const { waitUs, share } of steps) {
        us += waitUs
        const bytes = Math.ceil(bucket.available(us) * share)
        if (bucket.take(us, bytes)) sent.push({ us, bytes })
      }
      for (let first = 0; first < sent.length; first++) {
        let total = 0n
        for (const { us: end, bytes } of sent.slice(first)) {
          total += BigInt(bytes) * 8_000_000n
          const window = BigInt(end - sent[first]!.us)
          expect(total <= BigInt(bitsPerSec) * window + BigInt(depthBytes) * 8_000_000n).toBe(true)
        }
      }
    }),
  )
})

it('never drifts: bytes taken at the earliest moment follow the exact sum of all rates', () => {
  const change = fc.record({ bitsPerSec: rate, afterUs: fc.integer({ min: 1, max: 3000 }) })
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 40 }), (changes) => {
      // Deep enough never to overflow: all that is earned is there to be taken.
      const bucket = new TokenBucket(0, 1, 1_000_000_000)
      bucket.take(0, 1_000_000_000)
      let [us, earned, taken] = [0, 0n, 0n]
      let bitsPerSec = 1
      for (const next of changes) {
        us += next.afterUs
        earned += BigInt(bitsPerSec) * BigInt(next.afterUs)
        const bytes = bucket.available(us)
        expect(bucket.take(us, bytes)).toBe(true)
        taken += BigInt(bytes) * 8_000_000n
        expect(earned - taken >= 0n && earned - taken < 8_000_000n).toBe(true)
        bitsPerSec = next.bitsPerSec
        bucket.setRate(us, bitsPerSec)
      }
    }),
  )
})

it('is ready at the named microsecond and not one before', () => {
  fc.assert(
    fc.property(rate, depth, fc.nat(), fc.nat(), (bitsPerSec, depthBytes, takeSeed, wantSeed) => {
      const drained = (): TokenBucket => {
        const bucket = new TokenBucket(0, bitsPerSec, depthBytes)
        bucket.take(0, takeSeed % (depthBytes + 1))
        return bucket
      }
      const wanted = 1 + (wantSeed % depthBytes)
      const readyAtUs = drained().readyAtUs(wanted)
      if (readyAtUs > 0) expect(drained().take(readyAtUs - 1, wanted)).toBe(false)
      expect(drained().take(readyAtUs, wanted)).toBe(true)
    }),
  )
})
