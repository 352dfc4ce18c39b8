import { describe, expect, test } from 'vitest'
import { encodeControl, encodeRefusal, imageTag } from '../../../src/protocol/index.ts'
import { HandDriven, nack, receiver, SESSION, SYMBOLS, underway } from './hand-driven.ts'

describe('start', () => {
  test('waits for a receiver, then 50 ms for more', () => {
    const driven = new HandDriven(2)
    driven.until(3_000_000)
    expect(driven.data).toEqual([])
    expect(driven.said('announce').every(({ phase }) => phase === 'gathering')).toBe(true)
    driven.join(1)
    expect(driven.said('join-ack')).toEqual([{ kind: 'join-ack', receivers: [receiver(1)] }])
    driven.until(3_049_999)
    expect(driven.data).toEqual([])
    driven.until(3_060_000)
    expect(driven.data[0]).toMatchObject({ slice: 0, symbol: 0, atUs: 3_050_000 })
    expect(driven.said('announce').at(-1)).toMatchObject({ phase: 'mending' })
  })

  test('begins at once on command', () => {
    const driven = new HandDriven(2, { minReceivers: 5 })
    driven.feed()
    driven.machine.handleCommand(0, { kind: 'start' })
    driven.drain()
    expect(driven.data[0]).toMatchObject({ slice: 0, symbol: 0, atUs: 0 })
  })

  test('gives up when nobody comes in time, and says so three times', () => {
    const driven = new HandDriven(2, { startTimeoutUs: 500_000 })
    driven.until(600_000)
    expect(driven.outcome).toBe('NO_RECEIVERS')
    expect(driven.said('abort')).toHaveLength(3)
    expect(driven.machine.pollTimeout()).toBeUndefined()
  })

  test('without receivers to wait for, sends and then says that nobody took part', () => {
    const driven = new HandDriven(2, { minReceivers: 0 })
    driven.until(1_000_000)
    expect(driven.data).toHaveLength(2 * SYMBOLS)
    expect(driven.outcome).toBe('NO_RECEIVERS')
  })
})

test('repairs that waiting receivers ask for do not count as joins', () => {
  const limits = [0, 100].map((askingCount) => {
    const driven = new HandDriven(4000, { maxBitrate: 100_000_000 })
    driven.join(...Array.from({ length: 70 }, (_, index) => index))
    driven.until(150_000)
    for (let low = 0; low < askingCount; low++)
      driven.hear(nack(1000 + low, { deficits: [{ slice: 0, deficit: 1, heard: 1 }] }))
    driven.until(1_000_000)
    return driven.said('announce').map(({ feedback }) => feedback.joinLimit)
  })
  expect(new Set(limits[0]).size).toBeGreaterThan(3)
  expect(limits[1]).toEqual(limits[0])
})

describe('the first pass', () => {
  test('sends every source symbol once, in order', () => {
    const driven = underway(40, 1)
    expect(driven.data.map(({ slice, symbol }) => slice * SYMBOLS + symbol)).toEqual(
      Array.from({ length: 40 * SYMBOLS }, (_, index) => index),
    )
    expect(driven.data.every(({ slice, symbol, body }) => body === slice + symbol)).toBe(true)
    expect(driven.machine.stats()).toMatchObject({
      phase: 'mending',
      sourceSymbols: 480,
      slicesBegun: 40,
      slicesTotal: 40,
    })
  })

  test('tells how many slices are expected, once that is known', () => {
    const driven = new HandDriven(40)
    expect(driven.said('announce')[0]).not.toHaveProperty('expectedSliceCount')
    const frame = new Uint8Array(16_384)
    driven.machine.handleCommand(0, { kind: 'frame', slice: driven.wanted.shift()!, frame, expectedSliceCount: 50 })
    driven.until(200_000)
    expect(driven.said('announce').at(-1)?.expectedSliceCount).toBe(50)
    driven.join(1)
    driven.until(2_000_000)
    expect(driven.said('announce').at(-1)?.expectedSliceCount).toBe(40)
  })

  test('adds the parity that the caller wants', () => {
    const driven = underway(2, 1, { fec: 25 })
    expect(driven.data.map(({ symbol }) => symbol)).toEqual([...Array(15).keys(), ...Array(15).keys()])
    expect(driven.data[12]).toMatchObject({ symbol: 12, body: 12 })
    expect(driven.machine.stats().proactiveSymbols).toBe(6)
  })

  test('adds parity by itself for many receivers that ask for it, and none for few', () => {
    const run = (count: number): number => {
      const driven = new HandDriven(200, { fec: 'auto', maxBitrate: 20_000_000 })
      for (let low = 1; low <= count; low++) driven.join(low)
      let asked = 0
      for (let time = 1; time <= 100; time++) {
        driven.until(time * 10_000)
        const begun = driven.machine.stats().slicesBegun
        for (; asked < begun - 1; asked++) {
          const { symbol } = driven.data.findLast(({ slice }) => slice === asked)!
          const deficit = 3 + SYMBOLS - 1 - symbol
          if (deficit > 0) driven.hear(nack(1, { deficits: [{ slice: asked, deficit, heard: symbol + 1 }] }))
        }
      }
      return driven.machine.stats().proactiveSymbols
    }
    expect(run(8)).toBe(0)
    expect(run(9)).toBeGreaterThan(50)
  })

  test('keeps to the rate', () => {
    const driven = new HandDriven(200, { maxBitrate: 10_000_000 })
    driven.join(1)
    driven.until(1_050_000)
    const { wireBytes } = driven.machine.stats()
    expect(wireBytes * 8).toBeLessThan(10_000_000 * 1.01 + 40_000)
    expect(wireBytes * 8).toBeGreaterThan(10_000_000 * 0.99)
  })

  test('follows a change of the cap at once', () => {
    const driven = new HandDriven(400, { maxBitrate: 10_000_000 })
    driven.join(1)
    driven.until(1_000_000)
    const before = driven.machine.stats().wireBytes
    driven.machine.handleCommand(driven.nowUs, { kind: 'max-bitrate', bitsPerSec: 1_000_000 })
    driven.until(2_000_000)
    expect((driven.machine.stats().wireBytes - before) * 8).toBeLessThan(1_000_000 * 1.05 + 40_000)
  })

  test('keeps to a cap that is a fraction, given at the start or later', () => {
    const driven = new HandDriven(400, { maxBitrate: 1e7 / 3 })
    driven.join(1)
    driven.until(500_000)
    expect(driven.machine.stats().rateBitsPerSec).toBe(3_333_333)
    driven.machine.handleCommand(driven.nowUs, { kind: 'max-bitrate', bitsPerSec: 1e7 / 7 })
    driven.until(1_000_000)
    expect(driven.machine.stats().rateBitsPerSec).toBe(1_428_571)
  })

  test('ends the pass of an empty image at once', () => {
    const driven = underway(0, 1)
    expect(driven.data).toEqual([])
    expect(driven.said('end')[0]).toMatchObject({ sliceCount: 0, isClosing: false })
    driven.done(1)
    driven.until(1_200_000)
    expect(driven.outcome).toBe('success')
  })

  test('throws for a frame that was not asked for', () => {
    const driven = new HandDriven(4)
    const give = (slice: number) =>
      driven.machine.handleCommand(0, { kind: 'frame', slice, frame: new Uint8Array(100) })
    expect(() => give(1)).toThrow(RangeError)
    for (let slice = 0; slice < driven.wanted.length; slice++) give(slice)
    expect(() => give(driven.wanted.length)).toThrow(RangeError)
  })
})

describe('repair', () => {
  test('mends what is asked for with parity, after the aggregation time, and echoes at once', () => {
    const driven = underway(4, 1)
    driven.data.length = 0
    driven.hear(nack(1, { deficits: [{ slice: 2, deficit: 2, heard: 12 }] }))
    expect(driven.said('repair-echo')).toEqual([
      { kind: 'repair-echo', pending: [{ slice: 2, symbolCount: 2 }], deferred: [] },
    ])
    driven.until(driven.nowUs + 100_000)
    expect(driven.data.map(({ slice, symbol }) => [slice, symbol])).toEqual([
      [2, 12],
      [2, 13],
    ])
    // A single receiver has no backoff: half a round trip of 5 ms is waited for.
    expect(driven.data[0]!.atUs).toBe(1_002_500)
    expect(driven.machine.stats()).toMatchObject({ nacks: 1, paritySymbols: 2, resentSymbols: 0 })
  })

  test('owes nothing of a slice that is still being sent', () => {
    const driven = new HandDriven(40, { maxBitrate: 1_000_000 })
    driven.join(1)
    driven.until(100_000)
    const { slice } = driven.data.at(-1)!
    driven.hear(nack(1, { deficits: [{ slice, deficit: 2, heard: 5 }], missing: [{ first: slice + 1, count: 9 }] }))
    expect(driven.said('repair-echo')).toEqual([])
    expect(driven.machine.stats().slicesDeferred).toBe(0)
  })

  test('defers what has left memory, and reads it again after the pass', () => {
    const driven = new HandDriven(100, { maxBitrate: 10_000_000 })
    driven.join(1)
    driven.until(600_000)
    driven.hear(nack(1, { deficits: [{ slice: 3, deficit: 2, heard: 12 }], missing: [{ first: 0, count: 2 }] }))
    driven.until(602_000)
    expect(driven.said('repair-echo')).toEqual([
      {
        kind: 'repair-echo',
        pending: [],
        deferred: [
          { first: 3, count: 1 },
          { first: 0, count: 2 },
        ],
      },
    ])
    expect(driven.machine.stats().slicesDeferred).toBe(3)
    driven.data.length = 0
    driven.until(5_000_000)
    const late = driven.data.filter(({ slice }) => slice <= 3).map(({ slice, symbol }) => slice * 100 + symbol)
    const whole = [...Array(SYMBOLS).keys()]
    expect(late).toEqual([312, 313, ...whole, ...whole.map((symbol) => 100 + symbol)])
    expect(driven.events.filter((event) => event.kind === 'again').map(({ slice }) => slice)).toEqual([0, 1, 3])
  })

  test('takes overlapping ranges for one', () => {
    const driven = new HandDriven(100, { maxBitrate: 10_000_000 })
    driven.join(1)
    driven.until(600_000)
    const missing = Array.from({ length: 20 }, () => ({ first: 0, count: 10 }))
    driven.hear(nack(1, { missing }))
    expect(driven.machine.stats().slicesDeferred).toBe(10)
  })

  test('keeps repairs within the rate', () => {
    const driven = underway(16, 1, { maxBitrate: 10_000_000 })
    const before = driven.machine.stats().wireBytes
    driven.hear(nack(1, { missing: [{ first: 0, count: 16 }] }))
    driven.until(driven.nowUs + 100_000)
    expect((driven.machine.stats().wireBytes - before) * 8).toBeLessThan(1_000_000 * 1.01 + 40_000)
  })
})

describe('a slow receiver with defer', () => {
  /** Two receivers, of which the second gets a tenth of what is sent. */
  function withSlowOne(): HandDriven {
    const driven = new HandDriven(2000, { maxBitrate: 100_000_000 })
    driven.join(1, 2)
    for (let time = 1; time <= 10; time++) {
      driven.until(time * 100_000)
      driven.report(1, { receivedPackets: 800 })
      driven.report(2, time < 5 ? { receivedPackets: 800 } : { receivedPackets: 80, lostPackets: 720 })
    }
    return driven
  }

  test('does not lower the rate', () => {
    expect(withSlowOne().machine.stats().rateBitsPerSec).toBeGreaterThan(80_000_000)
  })

  test('is not answered before the main pass is over: others that want the same are not to be silenced', () => {
    const driven = withSlowOne()
    const { slice } = driven.data.at(-1)!
    driven.hear(nack(2, { deficits: [{ slice: slice - 2, deficit: 5, heard: 12 }] }))
    expect(driven.said('repair-echo')).toEqual([])
    driven.hear(nack(1, { deficits: [{ slice: slice - 2, deficit: 1, heard: 12 }] }))
    expect(driven.said('repair-echo').at(-1)).toMatchObject({ pending: [{ slice: slice - 2, symbolCount: 1 }] })
  })

  test('is heard again when the pass is over', () => {
    const driven = withSlowOne()
    driven.until(4_000_000)
    expect(driven.machine.stats().phase).toBe('mending')
    driven.hear(nack(2, { deficits: [{ slice: 1999, deficit: 5, heard: 12 }] }))
    expect(driven.said('repair-echo').at(-1)).toMatchObject({ pending: [{ slice: 1999, symbolCount: 5 }] })
  })

  test('lowers the rate when all are as slow', () => {
    const driven = new HandDriven(2000, { maxBitrate: 100_000_000 })
    driven.join(1, 2)
    for (let time = 1; time <= 10; time++) {
      driven.until(time * 100_000)
      for (const low of [1, 2]) {
        driven.report(low, time < 5 ? { receivedPackets: 800 } : { receivedPackets: 80, lostPackets: 720 })
      }
    }
    expect(driven.machine.stats().rateBitsPerSec).toBeLessThan(30_000_000)
  })
})

describe('the end', () => {
  test('comes when all are done: three closing words, then nothing', () => {
    const driven = underway(4, 2)
    driven.done(1)
    expect(driven.said('done-ack')).toEqual([{ kind: 'done-ack', receivers: [receiver(1)] }])
    driven.until(1_500_000)
    expect(driven.outcome).toBeUndefined()
    driven.done(2)
    driven.until(1_600_000)
    expect(driven.outcome).toBe('success')
    expect(driven.said('end').filter(({ isClosing }) => isClosing)).toHaveLength(3)
    expect(driven.machine.pollTimeout()).toBeUndefined()
    const { length } = driven.control
    driven.join(3)
    driven.machine.handleTimeout(2_000_000)
    driven.drain()
    expect(driven.control).toHaveLength(length)
  })

  test('names who fell silent', () => {
    const driven = underway(4, 2)
    for (let time = 1; time <= 80; time++) {
      driven.until(1_000_000 + time * 100_000)
      driven.report(1, { settledBelow: 4 })
    }
    expect(driven.machine.receivers()).toMatchObject([
      { state: 'live' },
      { state: 'dropped', reason: 'silent for 5 s' },
    ])
    driven.done(1)
    driven.until(9_200_000)
    expect(driven.events.at(-1)).toEqual({
      kind: 'finished',
      failed: {
        code: 'RECEIVERS_FAILED',
        text: '1 of 2 receivers did not get the whole image: host-2 (silent for 5 s)',
      },
    })
  })

  test('comes early when nobody is left', () => {
    const driven = new HandDriven(1000, { maxBitrate: 1_000_000 })
    driven.join(1)
    driven.until(200_000)
    driven.hear({ kind: 'leave', receiver: receiver(1), name: 'host-1', reason: 'disk full' })
    driven.until(300_000)
    expect(driven.outcome).toBe('RECEIVERS_FAILED')
    expect(driven.said('abort')).toHaveLength(3)
  })

  test('comes on command, said three times, even with a text that no message can carry', () => {
    const driven = new HandDriven(1000, { maxBitrate: 1_000_000 })
    driven.join(1)
    driven.until(200_000)
    driven.machine.handleCommand(driven.nowUs, { kind: 'abort', reason: 'interrupted', text: 'x\n'.repeat(500) })
    driven.until(300_000)
    expect(driven.outcome).toBe('INTERRUPTED')
    expect(driven.said('abort')).toHaveLength(3)
  })

  test('takes nobody in while it says its last words', () => {
    const driven = underway(4, 1)
    driven.done(1)
    driven.join(2)
    driven.done(1)
    driven.until(1_500_000)
    expect(driven.machine.receivers()).toHaveLength(1)
    expect(driven.said('done-ack')).toHaveLength(2)
    expect(driven.outcome).toBe('success')
  })

  test('is not the time to drop those who wait for a large group to finish', () => {
    const driven = new HandDriven(4, { receiverTimeoutUs: 1_000_000 })
    for (let low = 1; low <= 400; low++) {
      driven.join(low)
      driven.report(low, {})
    }
    driven.until(1_000_000)
    for (let low = 1; low <= 399; low++) driven.done(low)
    // 400 receivers report every 2 s: one is silent after 6 s, also when the others are gone.
    driven.until(5_000_000)
    expect(driven.machine.receivers().at(-1)).toMatchObject({ state: 'live' })
    driven.until(6_500_000)
    expect(driven.machine.receivers().at(-1)).toMatchObject({ state: 'dropped', reason: 'silent for 6 s' })
  })

  test('acknowledges the many of a large group together', () => {
    const driven = new HandDriven(4)
    for (let low = 1; low <= 100; low++) driven.join(low)
    driven.until(100_000)
    const acks = driven.said('join-ack')
    expect(acks.flatMap(({ receivers }) => receivers)).toHaveLength(100)
    expect(acks.length).toBeLessThan(15)
  })

  test('answers a dropped receiver that speaks again', () => {
    const driven = underway(4, 2)
    for (let time = 1; time <= 80; time++) {
      driven.until(1_000_000 + time * 100_000)
      driven.report(1, { settledCount: 4, settledBelow: 4 })
    }
    const before = driven.said('abort').length
    driven.report(2, {})
    expect(driven.said('abort')).toHaveLength(before + 1)
    expect(driven.said('abort').at(-1)).toMatchObject({ receiver: receiver(2), text: 'silent for 5 s' })
  })
})

describe('foreign bytes', () => {
  test('are counted and change nothing', () => {
    const driven = new HandDriven(4)
    driven.hearBytes(new Uint8Array(5))
    driven.hearBytes(new Uint8Array(500).fill(7))
    const join = encodeControl({ kind: 'join', receiver: receiver(1), name: 'a' }, SESSION, imageTag('image'))
    driven.hearBytes(join.subarray(0, join.length - 3))
    driven.hearBytes(encodeControl({ kind: 'join', receiver: receiver(1), name: 'a' }, { high: 7, low: 7 }, 0))
    driven.hear({ kind: 'join-ack', receivers: [receiver(1)] })
    driven.hear({ kind: 'abort', receiver: receiver(1), reason: 'too-slow', text: '' })
    expect(driven.machine.stats()).toMatchObject({ malformedPackets: 5, foreignPackets: 1 })
    expect(driven.machine.receivers()).toEqual([])
  })

  test('tell of a receiver with another version', () => {
    const driven = new HandDriven(4)
    driven.hearBytes(encodeRefusal(SESSION), '10.0.0.7')
    expect(driven.events.at(-1)).toEqual({ kind: 'refused', address: '10.0.0.7', oldest: 1, newest: 1 })
  })

  test('tell of 64 such receivers at most, each once, however many refusals are forged', () => {
    const driven = new HandDriven(4)
    for (let packet = 0; packet < 10_000; packet++) {
      driven.hearBytes(encodeRefusal(SESSION), `10.0.${(packet >> 2) >> 8}.${(packet >> 2) & 255}`)
    }
    const addresses = driven.events.flatMap((event) => (event.kind === 'refused' ? [event.address] : []))
    expect([addresses.length, new Set(addresses).size]).toEqual([64, 64])
  })
})
