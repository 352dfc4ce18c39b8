import { describe, expect, test } from 'vitest'
import { ANNOUNCE_INTERVAL_US, encodeRefusal, JOIN_WINDOW_US, type AbortReason } from '../../../src/protocol/index.ts'
import { Hand, HandSender, RECEIVER } from './hand.ts'

const failure = (hand: Hand): unknown => hand.events.find(({ kind }) => kind === 'failed')

/** A machine that has told the sender that it is done. */
function doneHand(sender: HandSender): Hand {
  const hand = Hand.joined(sender)
  for (const slice of sender.frames.keys()) hand.hear(...sender.slice(slice))
  hand.hear(sender.end())
  hand.command({ kind: 'finished' })
  hand.pass(10_000)
  return hand
}

describe('without a session', () => {
  test('it waits as long as it is told to', () => {
    const hand = new Hand({ startTimeoutUs: 3_000_000 })
    hand.pass(2_999_999)
    expect(hand.events).toEqual([])
    hand.pass(1)
    expect(failure(hand)).toMatchObject({ code: 'NO_SENDER', text: 'no sender was heard within 3 s' })
    expect(new Hand().machine.pollTimeout()).toBeUndefined()
  })

  test('a sender of another version is refused once, then the receiver gives up within two announce intervals', () => {
    const sender = new HandSender([700])
    const packet = sender.announce()
    packet[2] = 9
    const hand = new Hand()
    hand.hear(packet, packet)
    expect(hand.others).toEqual([encodeRefusal(sender.session)])
    hand.pass(2 * ANNOUNCE_INTERVAL_US - 1)
    expect(hand.events).toEqual([])
    hand.pass(1)
    expect(failure(hand)).toMatchObject({ code: 'VERSION_REFUSED' })
  })

  test('a sender of our version in the meantime is taken', () => {
    const sender = new HandSender([700])
    const packet = sender.announce()
    packet[2] = 9
    const hand = new Hand()
    hand.hear(packet, sender.announce())
    hand.pass(3 * ANNOUNCE_INTERVAL_US)
    expect(hand.kinds).toEqual(['session'])
  })

  test('refusals of others are ignored', () => {
    const hand = new Hand()
    hand.hear(encodeRefusal({ high: 1, low: 1 }))
    hand.pass(3 * ANNOUNCE_INTERVAL_US)
    expect(hand.events).toEqual([])
  })

  test('a codec that cannot be undone is refused', () => {
    const hand = new Hand()
    hand.hear(new HandSender([700]).announce({ codec: 2 }))
    expect(failure(hand)).toMatchObject({
      code: 'CODEC_REFUSED',
      text: 'the session is compressed with zstd, this program undoes none and lzo',
    })
  })

  test('a geometry out of bounds is refused', () => {
    const hand = new Hand()
    hand.hear(new HandSender([700]).announce({ sliceBytes: 5000 }))
    expect(failure(hand)).toMatchObject({ code: 'SESSION_UNSUITABLE' })
  })
})

describe('joining', () => {
  test('is repeated ever more rarely until it is acknowledged', () => {
    const sender = new HandSender([700])
    const hand = new Hand()
    hand.hear(sender.announce())
    hand.command({ kind: 'opened' })
    hand.pass(3_000_000)
    const times = hand.timesOf('join')
    expect(times.length).toBeGreaterThanOrEqual(4)
    expect(times.length).toBeLessThanOrEqual(7)
    hand.hear(sender.control({ kind: 'join-ack', receivers: [RECEIVER] }))
    hand.pass(3_000_000)
    expect(hand.timesOf('join')).toEqual(times)
  })
})

describe('a sender that falls silent', () => {
  test('is lost after the timeout, counted from its last packet of any kind', () => {
    const sender = new HandSender([16_000, 16_000])
    const hand = Hand.joined(sender)
    hand.pass(9_000_000)
    hand.hear(sender.data(0, 0))
    hand.pass(9_999_999)
    expect(failure(hand)).toBeUndefined()
    hand.pass(1)
    expect(failure(hand)).toMatchObject({ code: 'SENDER_LOST', text: 'nothing was heard from the sender for 10 s' })
    expect(hand.machine.pollTimeout()).toBeUndefined()
    const sentCount = hand.sent.length
    hand.hear(sender.announce())
    hand.pass(1_000_000)
    expect(hand.sent).toHaveLength(sentCount)
  })

  test('is not missed while the driver holds all that is needed', () => {
    const sender = new HandSender([700])
    const hand = Hand.joined(sender)
    hand.settlesAtOnce = false
    hand.hear(...sender.slice(0), sender.end())
    hand.pass(30_000_000)
    hand.command({ kind: 'settled', slice: 0 })
    hand.pass(30_000_000)
    hand.command({ kind: 'finished' })
    expect(hand.kinds).toEqual(['session', 'slice', 'complete', 'acknowledged'])
  })

  test('and a slice that then fails its digest cannot be had again', () => {
    const sender = new HandSender([700])
    const hand = Hand.joined(sender)
    hand.settlesAtOnce = false
    hand.hear(...sender.slice(0), sender.end())
    hand.pass(30_000_000)
    hand.command({ kind: 'rejected', slice: 0 })
    expect(failure(hand)).toMatchObject({ code: 'SENDER_LOST' })
  })

  test('nor can one in sequence that follows it, though nothing is wrong with that', () => {
    const sender = new HandSender([700, 700])
    const hand = Hand.joined(sender, { isSequential: true })
    hand.settlesAtOnce = false
    hand.hear(...sender.slice(0), ...sender.slice(1), sender.end())
    hand.command({ kind: 'rejected', slice: 0 })
    hand.hear(...sender.slice(0))
    hand.pass(30_000_000)
    expect(hand.kinds).not.toContain('failed')
    hand.command({ kind: 'rejected', slice: 1 })
    expect(failure(hand)).toMatchObject({ code: 'SENDER_LOST' })
  })

  test('does not keep a receiver that is done', () => {
    const hand = doneHand(new HandSender([700]))
    hand.pass(12_000_000)
    expect(hand.kinds.at(-1)).toBe('acknowledged')
    expect(hand.messages('done').length).toBeLessThanOrEqual(10)
  })
})

describe('done', () => {
  test('is repeated a limited number of times to a sender that does not answer', () => {
    const sender = new HandSender([700])
    const hand = doneHand(sender)
    for (let round = 0; round < 100; round++) {
      hand.pass(100_000)
      hand.hear(sender.announce({ phase: 'mending' }))
    }
    expect(hand.messages('done')).toHaveLength(10)
    expect(hand.kinds.at(-1)).toBe('acknowledged')
  })

  test('is settled by the closing End as well', () => {
    const sender = new HandSender([700])
    const hand = doneHand(sender)
    hand.hear(sender.end({ isClosing: true }))
    expect(hand.kinds.at(-1)).toBe('acknowledged')
  })

  test('is not settled by an answer to somebody else', () => {
    const sender = new HandSender([700])
    const hand = doneHand(sender)
    hand.hear(sender.control({ kind: 'done-ack', receivers: [{ high: RECEIVER.high, low: 1 }] }))
    expect(hand.kinds.at(-1)).toBe('complete')
  })
})

describe('a sender that leaves', () => {
  test('while slices are missing fails the receiver', () => {
    const sender = new HandSender([700, 700, 700])
    const hand = Hand.joined(sender)
    hand.hear(...sender.slice(0), sender.end({ isClosing: true }))
    expect(failure(hand)).toMatchObject({
      code: 'SENDER_LOST',
      text: 'the sender ended the session, 2 of 3 slices are missing here',
    })
  })

  test('when all is here does not', () => {
    const sender = new HandSender([700])
    const hand = Hand.joined(sender)
    hand.hear(...sender.slice(0), sender.end({ isClosing: true }))
    hand.command({ kind: 'finished' })
    expect(hand.kinds).toEqual(['session', 'slice', 'complete', 'acknowledged'])
  })

  test.each<[AbortReason, string]>([
    ['sender-failed', 'SENDER_ABORTED'],
    ['interrupted', 'SENDER_ABORTED'],
    ['too-slow', 'RECEIVER_DROPPED'],
    ['too-many-receivers', 'RECEIVER_DROPPED'],
    ['data-gone', 'DATA_GONE'],
  ])('with an abort (%s) says why: %s', (reason, code) => {
    const sender = new HandSender([700])
    const hand = Hand.joined(sender)
    hand.hear(sender.control({ kind: 'abort', reason, text: 'because' }))
    expect(failure(hand)).toEqual({ kind: 'failed', code, text: 'the sender ended the transfer: because' })
  })

  test('one receiver goes on when another is aborted, and ends when it is meant', () => {
    const sender = new HandSender([700])
    const hand = Hand.joined(sender)
    hand.hear(sender.control({ kind: 'abort', receiver: { high: 1, low: 2 }, reason: 'too-slow', text: '' }))
    expect(failure(hand)).toBeUndefined()
    hand.hear(sender.control({ kind: 'abort', receiver: RECEIVER, reason: 'too-slow', text: '' }))
    expect(failure(hand)).toMatchObject({ code: 'RECEIVER_DROPPED', text: 'the sender ended the transfer: too-slow' })
  })

  test('an abort after we are done is no failure', () => {
    const sender = new HandSender([700])
    const hand = doneHand(sender)
    hand.hear(sender.control({ kind: 'abort', reason: 'interrupted', text: '' }))
    expect(hand.kinds.at(-1)).toBe('acknowledged')
  })
})

describe('leaving', () => {
  test('tells the sender why, once, and ends', () => {
    const sender = new HandSender([700])
    const hand = Hand.joined(sender)
    hand.command({ kind: 'leave', reason: 'disk\nfull' })
    expect(hand.messages('leave')).toEqual([
      { kind: 'leave', receiver: RECEIVER, name: 'hand', reason: 'disk\ufffdfull' },
    ])
    hand.hear(...sender.slice(0))
    hand.command({ kind: 'settled', slice: 0 })
    hand.pass(60_000_000)
    expect(hand.kinds).toEqual(['session'])
    expect(hand.machine.pollTimeout()).toBeUndefined()
  })

  test('is what a failure of its own comes to', () => {
    const sender = new HandSender([700])
    const hand = Hand.joined(sender)
    hand.settlesAtOnce = false
    for (let round = 0; round < 8; round++) {
      hand.hear(...sender.slice(0))
      hand.command({ kind: 'rejected', slice: 0 })
    }
    expect(failure(hand)).toMatchObject({ text: 'slice 0 has failed its digest 8 times' })
    expect(hand.messages('leave')).toMatchObject([{ reason: 'slice 0 has failed its digest 8 times' }])
  })

  test('is not said to a sender that is gone, or has said itself that it is over', () => {
    const sender = new HandSender([700, 700])
    const hands = [
      sender.end({ isClosing: true }),
      sender.control({ kind: 'abort', reason: 'too-slow', text: '' }),
    ].map((last) => {
      const hand = Hand.joined(sender)
      hand.hear(last)
      return hand
    })
    const forsaken = Hand.joined(sender)
    forsaken.pass(20_000_000)
    for (const hand of [...hands, forsaken]) {
      expect(failure(hand)).toBeDefined()
      expect(hand.messages('leave')).toEqual([])
    }
  })

  test('before there is a session says nothing', () => {
    const hand = new Hand()
    hand.command({ kind: 'leave', reason: 'enough' })
    expect(hand.sent).toEqual([])
  })
})

describe('a sender that was started again', () => {
  const restart = (silenceUs: number, imageBytes = 1_000_000): { hand: Hand; again: HandSender } => {
    const sizes = [16_000, 16_000, 16_000]
    const sender = new HandSender(sizes)
    const hand = Hand.joined(sender)
    hand.hear(...sender.slice(0), ...sender.slice(1, 0))
    hand.pass(silenceUs)
    const again = new HandSender(sizes)
    again.session = { high: 0x77, low: 0x88 }
    hand.hear(again.announce({ imageBytes }))
    return { hand, again }
  }

  test('with the same image is followed after two seconds of silence; what is settled stays settled', () => {
    const { hand, again } = restart(2_000_001)
    hand.pass(JOIN_WINDOW_US)
    expect(hand.sent.filter(({ message }) => message.kind === 'join')).toHaveLength(1)
    hand.hear(again.control({ kind: 'join-ack', receivers: [RECEIVER] }))
    hand.hear(...again.slice(0), ...again.slice(1), ...again.slice(2), again.end())
    expect(hand.order).toEqual([0, 1, 2])
    expect(hand.frames.get(1)).toEqual(again.frames[1])
    expect(hand.kinds.at(-1)).toBe('complete')
  })

  test('is foreign while the one before still speaks, and when it sends another image', () => {
    const early = restart(1_900_000)
    early.hand.hear(early.again.data(2, 0))
    expect(early.hand.machine.stats()).toMatchObject({ foreignPackets: 2, slicesBegun: 2 })
    const other = restart(3_000_000, 2_000_000)
    other.hand.hear(other.again.data(2, 0))
    expect(other.hand.machine.stats()).toMatchObject({ foreignPackets: 2, slicesBegun: 2 })
  })
})
