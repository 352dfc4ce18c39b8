import { describe, expect, it } from 'vitest'
import { TokenBucket } from '../../../src/ratelimit/index.ts'

describe('TokenBucket', () => {
  it('starts full, and gives all or nothing', () => {
    const bucket = new TokenBucket(0, 8_000_000, 1000)
    expect(bucket.available(0)).toBe(1000)
    expect(bucket.take(0, 1001)).toBe(false)
    expect(bucket.take(0, 600)).toBe(true)
    expect(bucket.take(0, 401)).toBe(false)
    expect(bucket.take(0, 400)).toBe(true)
    expect(bucket.available(0)).toBe(0)
  })

  it('earns at the rate and holds no more than its depth', () => {
    const bucket = new TokenBucket(0, 8_000_000, 1000)
    bucket.take(0, 1000)
    expect(bucket.available(250)).toBe(250)
    expect(bucket.available(1_000_000_000_000)).toBe(1000)
  })

  it('keeps fractions of a byte', () => {
    const bucket = new TokenBucket(0, 3, 1)
    bucket.take(0, 1)
    for (let nowUs = 1; nowUs < 2_666_667; nowUs += 997) expect(bucket.take(nowUs, 1)).toBe(false)
    expect(bucket.take(2_666_666, 1)).toBe(false)
    expect(bucket.take(2_666_667, 1)).toBe(true)
  })

  it('names the first microsecond at which bytes are ready', () => {
    const bucket = new TokenBucket(500, 8_000_000, 1000)
    expect(bucket.readyAtUs(1000)).toBe(500)
    bucket.take(500, 1000)
    expect(bucket.readyAtUs(1)).toBe(501)
    expect(bucket.readyAtUs(1000)).toBe(1500)
    expect(() => bucket.readyAtUs(1001)).toThrow(RangeError)
  })

  it('keeps what was earned when the rate changes', () => {
    const bucket = new TokenBucket(0, 8_000_000, 1000)
    bucket.take(0, 1000)
    bucket.setRate(100, 16_000_000)
    expect(bucket.bitsPerSec).toBe(16_000_000)
    expect(bucket.available(100)).toBe(100)
    expect(bucket.available(200)).toBe(300)
  })

  it('holds at most the new depth when the depth changes', () => {
    const bucket = new TokenBucket(0, 8_000_000, 1000)
    bucket.setRate(0, 8_000_000, 300)
    expect(bucket.depthBytes).toBe(300)
    expect(bucket.available(0)).toBe(300)
    bucket.setRate(0, 8_000_000, 2000)
    expect(bucket.available(0)).toBe(300)
  })

  it('earns nothing when time goes back', () => {
    const bucket = new TokenBucket(1000, 8_000_000, 1000)
    bucket.take(1000, 1000)
    expect(bucket.available(0)).toBe(0)
    expect(bucket.available(1001)).toBe(1)
  })

  it.each([
    [0, 1],
    [1.5, 1],
    [NaN, 1],
    [1, 0],
    [1, 1.5],
    [1, 1_000_000_001],
  ])('refuses a rate of %d with a depth of %d', (bitsPerSec, depthBytes) => {
    expect(() => new TokenBucket(0, bitsPerSec, depthBytes)).toThrow(RangeError)
    const bucket = new TokenBucket(0, 8_000_000, 1000)
    expect(() => bucket.setRate(5, bitsPerSec, depthBytes)).toThrow(RangeError)
    expect([bucket.bitsPerSec, bucket.depthBytes]).toEqual([8_000_000, 1000])
  })
})
