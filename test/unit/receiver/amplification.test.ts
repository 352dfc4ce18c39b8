import { describe, expect, test } from 'vitest'
import { encodeRefusal, MAX_CONTROL_BYTES, MAX_SLICE_COUNT } from '../../../src/protocol/index.ts'
import { Hand, HandSender, RECEIVER } from './hand.ts'

const TIMEOUT_SEC = 60
const options = { receiveTimeoutUs: TIMEOUT_SEC * 1_000_000, name: 'n'.repeat(160) }

const sender = new HandSender([16_000, 16_000, 16_000])

/** Has a receiver say as much as an Announce can. */
const greedy = sender.announce({ begunCount: MAX_SLICE_COUNT, reportIntervalMs: 25, rateBitsPerSec: 1e12 })

/** What comes from a stranger, in its worst form, and sets off nothing at all. */
const UNANSWERED: Readonly<Record<string, Uint8Array>> = {
  garbage: new Uint8Array(1472).fill(0x53),
  refusal: encodeRefusal(sender.session),
  'another version': sender.announce().fill(9, 2, 3),
  join: sender.control({ kind: 'join', receiver: RECEIVER, name: '' }),
  'repair-echo': sender.control({
    ...{ kind: 'repair-echo', pending: [{ slice: 0, symbolCount: 255 }], deferred: [{ first: 0, count: 9 }] },
  }),
  'join-ack': sender.control({ kind: 'join-ack', receivers: [RECEIVER] }),
  'done-ack': sender.control({ kind: 'done-ack', receivers: [RECEIVER] }),
  proof: sender.control({ kind: 'proof', nonces: [{ high: 1, low: 1 }] }),
  challenge: sender.control({ kind: 'challenge', nonce: { high: 1, low: 1 } }),
  abort: sender.control({ kind: 'abort', reason: 'interrupted', text: '' }),
}

/** Packets that a receiver in a session sends in ten seconds because that one came. */
function setOff(packet: Uint8Array): number {
  const [quiet, asked] = [[], [packet]].map((packets) => {
    const hand = Hand.joined(sender, options)
    for (let second = 0; second < 11; second++) {
      hand.pass(1_000_000)
      hand.hear(sender.announce(), ...(second === 0 ? packets : []))
    }
    return hand.sent.length + hand.others.length
  })
  return asked! - quiet!
}

describe('amplification: one packet from a stranger has a receiver send no more than', () => {
  test('an Announce that it takes for a session: 400 packets until its receive timeout', () => {
    const hand = new Hand(options)
    hand.hear(greedy)
    hand.command({ kind: 'opened' })
    hand.pass((TIMEOUT_SEC + 10) * 1_000_000)
    expect(hand.events.at(-1)).toMatchObject({ kind: 'failed', code: 'SENDER_LOST' })
    expect(hand.sent.length).toBeGreaterThan(2 * TIMEOUT_SEC)
    expect(hand.sent.length).toBeLessThanOrEqual(400)
    expect(hand.bytes.length).toBeLessThanOrEqual(65_536)
    expect(hand.bytes.length).toBeLessThan(400 * MAX_CONTROL_BYTES)
  })

  test.each(Object.keys(UNANSWERED))('in a session, nothing: %s', (name) => {
    expect(setOff(UNANSWERED[name]!)).toBeLessThanOrEqual(0)
  })

  test.each([
    ['data', sender.data(2, 1)],
    ['end', sender.end({ sliceCount: MAX_SLICE_COUNT })],
  ])('in a session, requests for what it tells of, two a second and 20 at first: %s', (_, packet) => {
    expect(setOff(packet)).toBeLessThanOrEqual(2 * 10 + 20)
  })

  test('in a session, an Announce: reports until the next, at most every 25 ms, and such requests', () => {
    expect(setOff(greedy)).toBeLessThanOrEqual(1000 / 25 + 2 * 10 + 20)
  })
})
