import { describe, expect, test } from 'vitest'
import { JOIN_WINDOW_US, MIN_SPREAD_US, spreadUs } from '../../../src/protocol/index.ts'
import { seededRandom } from '../../../src/random.ts'
import { Hand, HandSender } from './hand.ts'

const OPEN = 65_536

/** A crowd. */
const COUNT = 60

/** Receivers that have just heard of a session and opened their targets. */
function joining(count: number, joinLimit: number): { sender: HandSender; hands: Hand[] } {
  const sender = new HandSender([700])
  const hands = Array.from({ length: count }, (_, index) => {
    const hand = new Hand({ random: seededRandom(index + 1) })
    hand.hear(announce(sender, joinLimit))
    hand.command({ kind: 'opened' })
    return hand
  })
  return { sender, hands }
}

const announce = (sender: HandSender, joinLimit: number, groupCount = 1): Uint8Array =>
  sender.announce({ feedback: { ...FEEDBACK, joinLimit, groupCount } })

const FEEDBACK = { grttUs: 5000, groupCount: 1, reportIntervalMs: 100, receiverTimeoutMs: 5000, joinLimit: OPEN }

const joinedCount = (hands: readonly Hand[]): number => hands.filter((hand) => hand.timesOf('join').length > 0).length

describe('a Join', () => {
  test('comes late in the window, and only of few early: so the sender can stop the rest', () => {
    const { hands } = joining(COUNT, OPEN)
    for (const hand of hands) hand.pass(JOIN_WINDOW_US / 2)
    expect(joinedCount(hands)).toBeLessThan(5)
    for (const hand of hands) hand.pass(JOIN_WINDOW_US / 2)
    expect(joinedCount(hands)).toBe(COUNT)
  })

  test('waits for a limit above the number drawn, and comes soon then', () => {
    const { sender, hands } = joining(COUNT, OPEN / 4)
    for (const hand of hands) hand.pass(3_000_000)
    expect(joinedCount(hands) / COUNT).toBeGreaterThan(0.1)
    expect(joinedCount(hands) / COUNT).toBeLessThan(0.4)
    expect(hands.some((hand) => hand.sent.length === 0)).toBe(true)
    for (const hand of hands) {
      hand.hear(announce(sender, OPEN))
      hand.pass(MIN_SPREAD_US)
    }
    expect(joinedCount(hands)).toBe(COUNT)
  })

  test('that was about to be said waits when the limit falls; one that was said stays said', () => {
    const { sender, hands } = joining(COUNT, OPEN)
    for (const hand of hands) hand.pass(JOIN_WINDOW_US * 0.9)
    const before = joinedCount(hands)
    expect(before).toBeGreaterThan(5)
    expect(before).toBeLessThan(50)
    for (const hand of hands) {
      hand.hear(announce(sender, 1))
      hand.pass(2_000_000)
    }
    expect(joinedCount(hands)).toBe(before)
    const reported = hands.filter((hand) => hand.timesOf('report').length > 0)
    expect(reported.length).toBe(before)
  })

  test('is not needed by one that needs something: it may ask', () => {
    const sender = new HandSender([16_000, 16_000])
    const hand = new Hand()
    hand.hear(announce(sender, 1))
    hand.command({ kind: 'opened' })
    hand.hear(...sender.slice(0, 3), ...sender.slice(1))
    hand.pass(20_000)
    expect(new Set(hand.sent.map(({ message }) => message.kind))).toEqual(new Set(['nack']))
  })
})

describe('a Done', () => {
  test('of one that has not joined waits like its Join', () => {
    const sender = new HandSender([700])
    const hand = new Hand()
    hand.hear(announce(sender, 1))
    hand.command({ kind: 'opened' })
    hand.hear(...sender.slice(0), sender.end())
    hand.command({ kind: 'finished' })
    hand.pass(1_000_000)
    expect(hand.sent).toEqual([])
    hand.hear(announce(sender, OPEN))
    hand.pass(MIN_SPREAD_US)
    expect(hand.sent.map(({ message }) => message.kind)).toEqual(['done'])
  })

  test('is spread over the time that so many take', () => {
    const sender = new HandSender([700])
    const times = Array.from({ length: 50 }, (_, index) => {
      const hand = Hand.joined(sender, { random: seededRandom(index + 1) }, announce(sender, OPEN, 2000))
      hand.hear(...sender.slice(0), sender.end())
      const fromUs = hand.nowUs
      hand.command({ kind: 'finished' })
      hand.pass(spreadUs(2000))
      return hand.timesOf('done')[0]! - fromUs
    })
    expect(spreadUs(2000)).toBe(5_000_000)
    expect(Math.max(...times)).toBeGreaterThan(4_000_000)
    expect(Math.min(...times)).toBeLessThan(1_000_000)
  })
})

test('a report comes as soon as the sender wants them more often', () => {
  const sender = new HandSender([700])
  const hand = Hand.joined(sender, {}, sender.announce({ reportIntervalMs: 1000 }))
  hand.pass(200_000)
  const before = hand.messages('report').length
  hand.hear(sender.announce({ reportIntervalMs: 25 }))
  hand.pass(50_000)
  expect(hand.messages('report').length).toBeGreaterThanOrEqual(before + 2)
})

test('a report waits while the group grows', () => {
  const sender = new HandSender([700])
  const hand = Hand.joined(
    sender,
    { receiveTimeoutUs: 60_000_000 },
    sender.announce({ groupCount: 20, reportIntervalMs: 100 }),
  )
  hand.hear(sender.announce({ groupCount: 2000, reportIntervalMs: 10_000 }))
  hand.pass(500_000)
  expect(hand.messages('report').length).toBeLessThanOrEqual(1)
  hand.pass(25_000_000)
  expect(hand.messages('report').length).toBeGreaterThanOrEqual(2)
})
