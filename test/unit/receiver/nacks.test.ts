import { describe, expect, test } from 'vitest'
import { aggregationUs, backoffWindowUs, holdoffUs, LIMITS } from '../../../src/protocol/index.ts'
import { seededRandom } from '../../../src/random.ts'
import { GRTT_US, Hand, HandSender } from './hand.ts'

const TEN = Array.from({ length: 10 }, () => 16_000)

/** When a single receiver asks: a quarter of a round trip after the loss could be seen. */
const SOON_US = GRTT_US

describe('a NACK', () => {
  test('names the deficit of a slice once a later one has begun', () => {
    const sender = new HandSender(TEN)
    const hand = Hand.joined(sender)
    hand.hear(...sender.slice(0, 3, 4, sender.sourceCount(0) - 1))
    hand.pass(SOON_US)
    expect(hand.messages('nack')).toEqual([])
    hand.hear(sender.data(1, 0))
    hand.pass(SOON_US)
    expect(hand.messages('nack')).toMatchObject([
      { deficits: [{ slice: 0, deficit: 3, heard: sender.sourceCount(0) - 1 }], missing: [] },
    ])
  })

  test('does not count what reordering delays', () => {
    const sender = new HandSender(TEN)
    const hand = Hand.joined(sender)
    hand.hear(...sender.slice(0, 30), sender.data(1, 0))
    hand.pass(GRTT_US / 8)
    hand.hear(sender.data(0, 30), ...sender.slice(1))
    hand.hear(sender.data(2, 0))
    hand.pass(GRTT_US)
    expect(hand.messages('nack')).toEqual([])
  })

  test('names slices of which nothing came as ranges', () => {
    const sender = new HandSender(TEN)
    const hand = Hand.joined(sender)
    hand.hear(...sender.slice(0), ...sender.slice(3), ...sender.slice(7), sender.data(8, 0))
    hand.pass(SOON_US)
    expect(hand.messages('nack')).toMatchObject([
      {
        deficits: [],
        missing: [
          { first: 1, count: 2 },
          { first: 4, count: 3 },
        ],
      },
    ])
  })

  test('of a receiver that comes late names all that has been sent before', () => {
    const sender = new HandSender(TEN)
    const hand = Hand.joined(sender, {}, sender.announce({ begunCount: 8 }))
    hand.pass(SOON_US)
    expect(hand.messages('nack')).toMatchObject([{ deficits: [], missing: [{ first: 0, count: 7 }] }])
    expect(hand.machine.stats().lostPackets).toBe(0)
  })

  test('keeps within the limits of a message; what does not fit follows', () => {
    const sizes = Array.from({ length: 300 }, () => 700)
    const sender = new HandSender(sizes)
    const hand = Hand.joined(sender, { bufferSlices: 200 })
    for (let slice = 0; slice < 100; slice++) hand.hear(sender.data(slice, 0))
    for (let slice = 100; slice < 200; slice += 2) hand.hear(...sender.slice(slice))
    hand.hear(sender.data(250, 0))
    hand.pass(8000)
    const nacks = hand.messages('nack')
    for (const { deficits, missing } of nacks) {
      expect(deficits.length).toBeLessThanOrEqual(LIMITS.slicesPerMessage)
      expect(missing.length).toBeLessThanOrEqual(LIMITS.rangesPerMessage)
    }
    const asked = nacks.flatMap(({ deficits }) => deficits.map(({ slice }) => slice))
    expect(asked.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, slice) => slice))
    const ranges = nacks.flatMap(({ missing }) => missing)
    expect(ranges).toHaveLength(50)
    expect(ranges.at(-1)).toEqual({ first: 199, count: 51 })
  })

  test('says nothing of the slice that is being sent, until it has been quiet or End has come', () => {
    const sender = new HandSender([16_000, 16_000])
    const hand = Hand.joined(sender)
    hand.hear(...sender.slice(0), ...sender.slice(1, 5))
    hand.pass(SOON_US)
    expect(hand.messages('nack')).toEqual([])
    hand.hear(sender.end())
    hand.pass(GRTT_US - 1)
    expect(hand.messages('nack')).toEqual([])
    hand.pass(SOON_US)
    expect(hand.messages('nack')).toMatchObject([{ deficits: [{ slice: 1, deficit: 1 }] }])
    const quiet = Hand.joined(sender)
    quiet.hear(...sender.slice(0, 3))
    quiet.pass(holdoffUs(1, GRTT_US) - 1)
    expect(quiet.messages('nack')).toEqual([])
    quiet.pass(1)
    expect(quiet.messages('nack')).toMatchObject([{ deficits: [{ slice: 0, deficit: 1 }] }])
  })

  test('asks for whatever End tells of and nobody heard', () => {
    const sender = new HandSender(TEN)
    const hand = Hand.joined(sender)
    hand.hear(...sender.slice(0), sender.end())
    hand.pass(2 * GRTT_US)
    const asked = hand.messages('nack').flatMap(({ missing }) => missing)
    expect(asked).toEqual([
      { first: 1, count: 8 },
      { first: 9, count: 1 },
    ])
  })

  test('asks for a rejected slice without holdoff', () => {
    const sender = new HandSender(TEN)
    const hand = Hand.joined(sender)
    hand.settlesAtOnce = false
    hand.hear(...sender.slice(1), sender.data(2, 0))
    hand.pass(SOON_US)
    hand.hear(...sender.slice(0))
    hand.command({ kind: 'rejected', slice: 0 })
    hand.pass(SOON_US)
    expect(hand.messages('nack').map(({ missing }) => missing)).toEqual([
      [{ first: 0, count: 1 }],
      [{ first: 0, count: 1 }],
    ])
  })

  test('asks only within the window of a sequential sink', () => {
    const sender = new HandSender(TEN)
    const hand = Hand.joined(sender, { isSequential: true, bufferSlices: 3 })
    hand.hear(sender.data(9, 0))
    hand.pass(SOON_US)
    expect(hand.messages('nack')).toMatchObject([{ missing: [{ first: 0, count: 3 }] }])
    hand.hear(...sender.slice(0))
    hand.pass(SOON_US)
    expect(hand.messages('nack').at(-1)).toMatchObject({ missing: [{ first: 3, count: 1 }] })
  })

  test('asks for no more than fits after the buffers ran over', () => {
    const sender = new HandSender(TEN)
    const hand = Hand.joined(sender, { bufferSlices: 2 })
    hand.settlesAtOnce = false
    for (let slice = 0; slice < 10; slice++) hand.hear(...sender.slice(slice))
    hand.hear(sender.end())
    hand.pass(1_000_000)
    expect(hand.messages('nack')).toEqual([])
    hand.command({ kind: 'settled', slice: 0 })
    hand.pass(SOON_US)
    expect(hand.messages('nack')).toMatchObject([{ missing: [{ first: 2, count: 1 }] }])
  })
})

describe('holdoff', () => {
  const lossy = (options = {}): { sender: HandSender; hand: Hand } => {
    const sender = new HandSender(TEN)
    const hand = Hand.joined(sender, options)
    hand.hear(...sender.slice(0, 1, 2, 3), sender.data(1, 0))
    return { sender, hand }
  }

  test('keeps a slice from being asked for again, and grows with each NACK in vain', () => {
    const { hand, sender } = lossy({ receiveTimeoutUs: 60_000_000 })
    hand.hear(...sender.slice(1, 0))
    hand.pass(8_000_000)
    const times = hand.timesOf('nack')
    const gaps = times.slice(1).map((time, index) => time - times[index]!)
    const holdUs = holdoffUs(1, GRTT_US)
    for (const [index, gap] of gaps.slice(0, 6).entries()) {
      expect(gap).toBeGreaterThanOrEqual(Math.min(1_000_000, holdUs * 2 ** index))
      expect(gap).toBeLessThanOrEqual(Math.min(1_000_000, holdUs * 2 ** index) + GRTT_US)
    }
    expect(gaps.at(-1)).toBeLessThanOrEqual(1_000_000 + GRTT_US)
  })

  test('is renewed while the repair is arriving; the rest is asked for a round trip later', () => {
    const { sender, hand } = lossy()
    hand.pass(SOON_US)
    expect(hand.messages('nack')).toHaveLength(1)
    hand.pass(holdoffUs(1, GRTT_US) - SOON_US - 100)
    hand.hear(sender.data(0, 40))
    hand.pass(2 * GRTT_US)
    expect(hand.messages('nack')).toHaveLength(1)
    hand.pass(GRTT_US)
    expect(hand.messages('nack')[1]).toMatchObject({ deficits: [{ slice: 0, deficit: 2, heard: 41 }] })
  })

  test('lasts as long as the repairs take at the announced rate', () => {
    const sender = new HandSender(TEN)
    const rate = { rateBitsPerSec: 1_000_000 }
    const hand = Hand.joined(sender, {}, sender.announce(rate))
    const symbolUs = (548 * 8e6) / 1_000_000
    hand.hear(...sender.slice(0, ...Array.from({ length: 20 }, (_, symbol) => symbol)), ...sender.slice(1))
    hand.hear(sender.data(2, 0))
    hand.pass(200_000)
    const [first = 0, second = Infinity] = hand.timesOf('nack')
    expect(first).toBeGreaterThan(0)
    expect(second - first).toBeGreaterThanOrEqual(20 * symbolUs)
  })
})

describe('suppression', () => {
  const GROUP = 50

  const lossyGroup = (seed = 5, feedback = {}): { sender: HandSender; hand: Hand } => {
    const sender = new HandSender(TEN)
    const announce = sender.announce({ groupCount: GROUP, reportIntervalMs: 60_000 })
    const hand = Hand.joined(sender, { random: seededRandom(seed) }, announce)
    hand.hear(sender.announce({ groupCount: GROUP, reportIntervalMs: 60_000, ...feedback }))
    hand.hear(...sender.slice(0, 1, 2), sender.data(1, 0))
    return { sender, hand }
  }

  test('a group’s receivers wait for different times within the backoff window', () => {
    const waits = Array.from({ length: 20 }, (_, seed) => {
      const { hand } = lossyGroup(seed)
      hand.pass(backoffWindowUs(GROUP, GRTT_US) + GRTT_US)
      expect(hand.messages('nack')).toHaveLength(1)
      return hand.timesOf('nack')[0]! - 1_000_000
    })
    expect(new Set(waits).size).toBeGreaterThan(10)
    for (const wait of waits) expect(wait).toBeLessThanOrEqual(backoffWindowUs(GROUP, GRTT_US) + GRTT_US / 4)
  })

  test('those who may not join yet count among those who may ask: backoff is that of all of them', () => {
    const waitsUs = (feedback: { groupCount: number; joinLimit?: number }): number[] =>
      Array.from({ length: 20 }, (_, seed) => {
        const { hand } = lossyGroup(seed, feedback)
        hand.pass(backoffWindowUs(GROUP, GRTT_US) + GRTT_US)
        return hand.timesOf('nack')[0]!
      })
    const ofAll = waitsUs({ groupCount: 64 * GROUP })
    expect(waitsUs({ groupCount: GROUP, joinLimit: 1024 })).toEqual(ofAll)
    expect(waitsUs({ groupCount: GROUP })).not.toEqual(ofAll)
  })

  test('an echo that covers the deficit silences the receiver for the holdoff', () => {
    const { sender, hand } = lossyGroup()
    hand.pass(GRTT_US / 4)
    hand.hear(sender.control({ kind: 'repair-echo', pending: [{ slice: 0, symbolCount: 2 }], deferred: [] }))
    hand.pass(holdoffUs(GROUP, GRTT_US) - 1)
    expect(hand.messages('nack')).toEqual([])
    expect(hand.machine.stats().nacksSuppressed).toBe(1)
    hand.pass(aggregationUs(GROUP, GRTT_US))
    expect(hand.messages('nack')).toHaveLength(1)
  })

  test('an echo of fewer symbols does not', () => {
    const { sender, hand } = lossyGroup()
    hand.pass(GRTT_US / 4)
    hand.hear(sender.control({ kind: 'repair-echo', pending: [{ slice: 0, symbolCount: 1 }], deferred: [] }))
    hand.pass(backoffWindowUs(GROUP, GRTT_US))
    expect(hand.messages('nack')).toHaveLength(1)
  })

  test('an echo of a whole slice silences those who heard nothing of it', () => {
    const sender = new HandSender(TEN)
    const hand = Hand.joined(sender)
    hand.hear(...sender.slice(0), sender.data(2, 0))
    hand.hear(sender.control({ kind: 'repair-echo', pending: [{ slice: 1, symbolCount: 31 }], deferred: [] }))
    hand.pass(holdoffUs(1, GRTT_US) - 1)
    expect(hand.messages('nack')).toEqual([])
    hand.hear(sender.data(2, 1))
    hand.pass(SOON_US)
    expect(hand.messages('nack')).toMatchObject([{ missing: [{ first: 1, count: 1 }] }])
  })

  test('slices put off wait for two seconds, or until mending begins', () => {
    const { sender, hand } = lossyGroup()
    const echo = sender.control({ kind: 'repair-echo', pending: [], deferred: [{ first: 0, count: 1 }] })
    hand.hear(echo)
    hand.hear(...sender.slice(1), sender.end({ sliceCount: 2 }))
    hand.pass(1_900_000)
    expect(hand.messages('nack')).toEqual([])
    hand.pass(100_000 + backoffWindowUs(GROUP, GRTT_US))
    expect(hand.messages('nack')).toMatchObject([{ deficits: [{ slice: 0, deficit: 2 }] }])

    const other = lossyGroup()
    other.hand.hear(echo)
    other.hand.pass(20_000)
    other.hand.hear(sender.announce({ phase: 'mending', groupCount: GROUP, begunCount: 2 }))
    other.hand.pass(200_000)
    expect(other.hand.messages('nack').length).toBeGreaterThan(0)
  })
})
