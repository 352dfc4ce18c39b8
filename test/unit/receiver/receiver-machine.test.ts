import { describe, expect, test } from 'vitest'
import { encodeControl, imageTag, JOIN_WINDOW_US } from '../../../src/protocol/index.ts'
import { seededRandom } from '../../../src/random.ts'
import { GEOMETRY, Hand, HandSender, RECEIVER, SENDER } from './hand.ts'

const FOUR = [16_000, 16_000, 9000, 700]

describe('a session', () => {
  test('is taken at its first announce, opened, filled, verified and acknowledged', () => {
    const sender = new HandSender(FOUR)
    const hand = new Hand()
    hand.hear(sender.announce())
    expect(hand.events).toMatchObject([
      { kind: 'session', session: sender.session, geometry: GEOMETRY, sender: SENDER, announce: { imageId: 'image' } },
    ])
    expect(hand.sent).toEqual([])
    hand.command({ kind: 'opened' })
    hand.pass(JOIN_WINDOW_US)
    expect(hand.messages('join')).toEqual([{ kind: 'join', receiver: RECEIVER, name: 'hand' }])
    hand.hear(sender.control({ kind: 'join-ack', receivers: [{ high: 1, low: 1 }, RECEIVER] }))

    for (const slice of FOUR.keys()) hand.hear(...sender.slice(slice))
    expect(hand.order).toEqual([0, 1, 2, 3])
    for (const [slice, frame] of sender.frames.entries()) expect(hand.frames.get(slice)).toEqual(frame)
    expect(hand.kinds).not.toContain('complete')
    hand.hear(sender.end())
    expect(hand.events.at(-1)).toMatchObject({ kind: 'complete', end: { sliceCount: 4 } })
    expect(hand.messages('done')).toEqual([])
    hand.command({ kind: 'finished' })
    hand.pass(10_000)
    expect(hand.messages('done')).toEqual([{ kind: 'done', receiver: RECEIVER, name: 'hand' }])
    hand.hear(sender.control({ kind: 'done-ack', receivers: [RECEIVER] }))
    expect(hand.events.at(-1)).toEqual({ kind: 'acknowledged' })
    expect(hand.machine.pollTimeout()).toBeUndefined()
    expect(hand.messages('nack')).toEqual([])
    const symbolCount = FOUR.reduce((sum, _, slice) => sum + sender.sourceCount(slice), 0)
    expect(hand.machine.stats()).toMatchObject({
      ...{ packets: symbolCount, bytes: symbolCount * GEOMETRY.packetBytes, duplicatePackets: 0, lostPackets: 0 },
      ...{ slicesBegun: 4, slicesSettled: 4, slicesTotal: 4, foreignPackets: 0, malformedPackets: 0 },
    })
  })

  test('of an empty image is complete without a slice', () => {
    const sender = new HandSender([])
    const hand = Hand.joined(sender)
    hand.hear(sender.end())
    expect(hand.kinds).toEqual(['session', 'complete'])
  })

  test('of another image is not taken when one was asked for', () => {
    const hand = new Hand({ imageId: 'wanted', startTimeoutUs: 500_000 })
    hand.hear(new HandSender([700], 'other').announce())
    expect(hand.events).toEqual([])
    hand.pass(500_000)
    expect(hand.events).toMatchObject([
      { kind: 'failed', code: 'NO_SENDER', text: 'only other images than wanted were announced within 0.5 s' },
    ])
  })

  test('keeps out all packets of other sessions', () => {
    const sender = new HandSender([16_000])
    const other = new HandSender([16_000])
    other.session = { high: 9, low: 9 }
    const hand = Hand.joined(sender)
    hand.hear(other.announce(), other.data(0, 0), other.end())
    hand.hear(other.control({ kind: 'abort', reason: 'interrupted', text: '' }))
    expect(hand.machine.stats()).toMatchObject({ foreignPackets: 4, packets: 0, slicesTotal: undefined })
    expect(hand.kinds).toEqual(['session'])
  })

  test('keeps out packets of its own id that carry another image’s tag', () => {
    const sender = new HandSender([16_000])
    const hand = Hand.joined(sender)
    const packet = sender.data(0, 0)
    packet[15] = packet[15]! ^ 1
    hand.hear(packet)
    expect(hand.machine.stats()).toMatchObject({ foreignPackets: 1, packets: 0 })
  })

  test('is not taken from an announce whose tag is not that of its image', () => {
    const { session } = new HandSender([])
    const hand = new Hand()
    const announce = new HandSender([]).announce()
    const wrong = encodeControl({ kind: 'join-ack', receivers: [] }, session, imageTag('x')).subarray(0, 16)
    announce.set(wrong)
    hand.hear(announce)
    expect(hand.events).toEqual([])
  })

  test('data that comes before the sink is open waits in the pool', () => {
    const sender = new HandSender([16_000, 16_000, 16_000])
    const hand = new Hand({ bufferSlices: 2 })
    hand.hear(sender.announce())
    for (const slice of [0, 1, 2]) hand.hear(...sender.slice(slice))
    expect(hand.order).toEqual([])
    expect(hand.machine.stats()).toMatchObject({ droppedForBuffers: sender.sourceCount(2), queuePercent: 100 })
    hand.command({ kind: 'opened' })
    expect(hand.order).toEqual([0, 1])
  })
})

describe('datagrams', () => {
  test('may hold a run of packets, the last of it control', () => {
    const sender = new HandSender([16_000])
    const hand = Hand.joined(sender)
    const run = Buffer.concat([...sender.slice(0), sender.end()])
    hand.hear(run)
    expect(hand.kinds).toEqual(['session', 'slice', 'complete'])
  })

  test('of random bytes change nothing and throw nothing', () => {
    const random = seededRandom(77)
    const sender = new HandSender([16_000, 16_000])
    const hand = Hand.joined(sender)
    const good = [sender.announce(), sender.data(0, 0), sender.end(), sender.slice(1)[3]!]
    for (let round = 0; round < 3000; round++) {
      const base = good[round % good.length]!
      const length = round % 3 === 0 ? Math.floor(random() * base.length) : base.length
      const packet = Uint8Array.from({ length }, (_, at) => (random() < 0.1 ? Math.floor(random() * 256) : base[at]!))
      if (length > 8) packet[8] = packet[8]! ^ 0x55
      hand.hear(packet)
    }
    expect(hand.kinds).toEqual(['session'])
    expect(hand.machine.stats().packets).toBe(0)
    for (const slice of [0, 1]) hand.hear(...sender.slice(slice))
    hand.hear(sender.end())
    expect(hand.frames.get(1)).toEqual(sender.frames[1])
    expect(hand.kinds.at(-1)).toBe('complete')
  })

  test('of our session with fields out of bounds are malformed', () => {
    const sender = new HandSender([16_000, 16_000])
    const hand = Hand.joined(sender)
    const change = (at: number, ...values: readonly number[]): Uint8Array => {
      const packet = sender.data(1, 0)
      packet.set(values, at)
      return packet
    }
    const bad = [
      change(16, 0xff), // slice
      change(20, 0xff), // frame length beyond the slice size
      change(20, 0, 0, 1), // frame length below that of a head
      change(23, 255), // symbol
      sender.data(1, 0).subarray(0, 100),
    ]
    hand.hear(...bad)
    expect(hand.machine.stats()).toMatchObject({ malformedPackets: bad.length, packets: 0, slicesBegun: 0 })
    hand.hear(sender.end({ sliceCount: 1 }), sender.data(1, 0))
    expect(hand.machine.stats()).toMatchObject({ malformedPackets: bad.length + 1, packets: 0 })
  })

  test('meant for the sender are foreign', () => {
    const sender = new HandSender([16_000])
    const hand = Hand.joined(sender)
    hand.hear(sender.control({ kind: 'join', receiver: { high: 3, low: 3 }, name: 'another' }))
    expect(hand.machine.stats().foreignPackets).toBe(1)
  })
})

describe('slices', () => {
  test('are mended by parity, whatever the order', () => {
    const sender = new HandSender([16_000])
    const hand = Hand.joined(sender)
    const sourceCount = sender.sourceCount(0)
    hand.hear(sender.data(0, sourceCount + 7), ...sender.slice(0, 0, 5).reverse(), sender.data(0, sourceCount))
    expect(hand.frames.get(0)).toEqual(sender.frames[0])
    // Two of the source symbols, and the parity between the two that came.
    expect(hand.machine.stats()).toMatchObject({ parityUsed: 2, lostPackets: 8 })
  })

  test('duplicates are counted and ignored: of open, whole and settled slices', () => {
    const sender = new HandSender([16_000])
    const hand = Hand.joined(sender)
    hand.settlesAtOnce = false
    const packets = sender.slice(0)
    hand.hear(packets[0]!, packets[0]!, ...packets.slice(1), packets[3]!)
    hand.command({ kind: 'settled', slice: 0 })
    hand.hear(...packets)
    expect(hand.order).toEqual([0])
    expect(hand.machine.stats()).toMatchObject({ duplicatePackets: 2 + packets.length, slicesSettled: 1 })
  })

  test('stay as they are while the driver has them', () => {
    const sender = new HandSender([16_000, 16_000])
    const hand = Hand.joined(sender, { bufferSlices: 1 })
    hand.settlesAtOnce = false
    hand.hear(...sender.slice(0), ...sender.slice(1))
    const event = hand.events.find(({ kind }) => kind === 'slice')
    expect(event).toMatchObject({ slice: 0, frame: sender.frames[0] })
    expect(hand.order).toEqual([0])
  })

  test('whose first packet named a wrong frame length are begun again', () => {
    const sender = new HandSender([16_000])
    const hand = Hand.joined(sender)
    const wrong = sender.data(0, 0)
    wrong[22] = wrong[22]! ^ 1
    hand.hear(wrong, ...sender.slice(0), ...sender.slice(0))
    expect(hand.frames.get(0)).toEqual(sender.frames[0])
  })

  test('are handed out in order to a sequential sink, within the window', () => {
    const sender = new HandSender([700, 700, 700, 700, 700])
    const hand = Hand.joined(sender, { isSequential: true, bufferSlices: 3 })
    for (const slice of [2, 1, 3]) hand.hear(...sender.slice(slice))
    expect(hand.order).toEqual([])
    expect(hand.machine.stats().droppedForBuffers).toBe(sender.sourceCount(3))
    hand.hear(...sender.slice(0))
    expect(hand.order).toEqual([0, 1, 2])
    for (const slice of [4, 3]) hand.hear(...sender.slice(slice))
    expect(hand.order).toEqual([0, 1, 2, 3, 4])
  })

  test('that fail their digest come again, in sequence those behind them, too', () => {
    const sender = new HandSender([700, 700, 700])
    const hand = Hand.joined(sender, { isSequential: true })
    hand.settlesAtOnce = false
    for (const slice of [0, 1]) hand.hear(...sender.slice(slice))
    hand.command({ kind: 'settled', slice: 0 })
    hand.command({ kind: 'rejected', slice: 1 })
    hand.hear(...sender.slice(2))
    expect(hand.order).toEqual([0, 1])
    hand.hear(...sender.slice(1))
    expect(hand.order).toEqual([0, 1, 1, 2])
    expect(hand.machine.stats()).toMatchObject({ rejectedSlices: 1, slicesSettled: 1, lostPackets: 0 })
  })

  test('behind one that failed its digest are asked for again, however often, without blame', () => {
    const sender = new HandSender([700, 700, 700, 700])
    const hand = Hand.joined(sender, { isSequential: true })
    hand.settlesAtOnce = false
    for (const slice of [0, 1, 2, 3]) hand.hear(...sender.slice(slice))
    for (let round = 0; round < 7; round++) {
      for (const slice of [0, 1, 2, 3]) hand.command({ kind: 'rejected', slice })
      for (const slice of [3, 2, 1, 0]) hand.hear(...sender.slice(slice))
    }
    expect(hand.machine.stats().rejectedSlices).toBe(7)
    for (const slice of [0, 1, 2]) hand.command({ kind: 'settled', slice })
    hand.command({ kind: 'rejected', slice: 3 })
    expect(hand.kinds).not.toContain('failed')
    expect(hand.order.slice(-4)).toEqual([0, 1, 2, 3])
  })

  test('that the driver still has wait for its word before they are handed out again', () => {
    const sender = new HandSender([700, 700, 700, 700])
    const hand = Hand.joined(sender, { isSequential: true })
    hand.settlesAtOnce = false
    for (const slice of [0, 1, 2]) hand.hear(...sender.slice(slice))
    hand.command({ kind: 'rejected', slice: 0 })
    hand.hear(...sender.slice(3), ...sender.slice(0))
    expect(hand.order).toEqual([0, 1, 2, 0])
    hand.command({ kind: 'rejected', slice: 1 })
    hand.hear(...sender.slice(1))
    expect(hand.order).toEqual([0, 1, 2, 0, 1])
    // This driver has put it aside until its turn.
    hand.command({ kind: 'settled', slice: 2 })
    expect(hand.order).toEqual([0, 1, 2, 0, 1, 3])
    expect(hand.machine.stats().rejectedSlices).toBe(1)
  })

  test('that fail their digest again and again fail the transfer', () => {
    const sender = new HandSender([700, 700])
    const hand = Hand.joined(sender)
    hand.settlesAtOnce = false
    for (let round = 0; round < 8; round++) {
      expect(hand.kinds).not.toContain('failed')
      hand.hear(...sender.slice(0))
      hand.command({ kind: 'rejected', slice: 0 })
    }
    expect(hand.events.at(-1)).toMatchObject({ kind: 'failed', code: 'DIGEST_MISMATCH' })
  })
})

describe('buffers', () => {
  const SIX = [16_000, 16_000, 16_000, 16_000, 16_000, 16_000]

  test('that are all in use make the newest slices wait', () => {
    const sender = new HandSender(SIX)
    const hand = Hand.joined(sender, { bufferSlices: 2 })
    for (const slice of [0, 1, 2]) hand.hear(...sender.slice(slice, 0))
    expect(hand.machine.stats()).toMatchObject({ droppedForBuffers: sender.sourceCount(2) - 1, queuePercent: 100 })
    hand.hear(sender.data(0, 0))
    expect(hand.order).toEqual([0])
    hand.hear(...sender.slice(2))
    expect(hand.order).toEqual([0, 2])
    // The first symbol of slice 1. That of slice 0 was late, and what was dropped here was not lost.
    expect(hand.machine.stats().lostPackets).toBe(1)
  })

  test('of slices that the sender has put off go to those that it sends now', () => {
    const sender = new HandSender(SIX)
    const hand = Hand.joined(sender, { bufferSlices: 2 })
    for (const slice of [0, 1]) hand.hear(...sender.slice(slice, 0))
    hand.hear(sender.control({ kind: 'repair-echo', pending: [], deferred: [{ first: 0, count: 2 }] }))
    hand.hear(...sender.slice(2))
    expect(hand.order).toEqual([2])
    expect(hand.machine.stats().droppedForBuffers).toBe(sender.sourceCount(0) - 1)
  })

  test('of newer slices that have hardly begun go to an older one', () => {
    const sender = new HandSender(SIX)
    const hand = Hand.joined(sender, { bufferSlices: 2 })
    hand.hear(...sender.slice(3, 0), sender.data(4, 0), ...sender.slice(1))
    expect(hand.order).toEqual([1])
  })
})

describe('buffers of slices that are asked for in vain', () => {
  test('go to newer ones: the sender has put this receiver off', () => {
    const sender = new HandSender([16_000, 16_000, 16_000, 16_000])
    const hand = Hand.joined(sender, { bufferSlices: 2 })
    hand.hear(...sender.slice(0, 4), ...sender.slice(1, 4, 5), sender.data(2, 0))
    while (hand.messages('nack').length < 3) hand.pass(1000)
    hand.hear(...sender.slice(2))
    expect(hand.order).toEqual([2])
    // The emptier went, the other is still there.
    hand.hear(...sender.slice(0, 0, 1, 2, 3), sender.data(0, 4))
    expect(hand.order).toEqual([2, 0])
  })
})

describe('reports', () => {
  test('begin with the join and follow the group’s interval, with what came and what was lost since', () => {
    const sender = new HandSender([16_000, 16_000, 16_000])
    const hand = Hand.joined(sender)
    hand.hear(...sender.slice(0), ...sender.slice(1, 1, 2, 3))
    hand.hear(sender.data(2, 0))
    hand.pass(1_000_000)
    const times = hand.timesOf('report')
    expect(times[0]! - 1_000_000).toBeLessThanOrEqual(JOIN_WINDOW_US)
    for (const [index, time] of times.slice(1).entries()) {
      expect(time - times[index]!).toBeGreaterThanOrEqual(90_000)
      expect(time - times[index]!).toBeLessThanOrEqual(110_000)
    }
    const [first, second] = hand.messages('report')
    expect(first).toMatchObject({
      ...{ receiver: RECEIVER, name: 'hand', settledCount: 1, settledBelow: 1, queuePercent: 0, echoSentAtUs: 1234 },
      receivedPackets: 2 * sender.sourceCount(0) - 2,
      echoHeldUs: times[0]! - 1_000_000,
    })
    expect(first!.lostPackets + second!.lostPackets).toBeGreaterThanOrEqual(3)
    expect(second).toMatchObject({ receivedPackets: 0 })
  })

  test('count losses as they show: gaps at once, the end of a slice when the next begins', () => {
    const sender = new HandSender([16_000, 16_000])
    const hand = Hand.joined(sender)
    const last = sender.sourceCount(0) - 1
    hand.hear(sender.data(0, 0), sender.data(0, 3))
    expect(hand.machine.stats().lostPackets).toBe(2)
    hand.hear(...sender.slice(0, 0, 1, 2, 3, last))
    expect(hand.machine.stats().lostPackets).toBe(2)
    hand.hear(sender.data(1, 0))
    expect(hand.machine.stats().lostPackets).toBe(3)
    // Asking for them does not count them again.
    hand.pass(100_000)
    expect(hand.messages('nack')).not.toEqual([])
    expect(hand.machine.stats().lostPackets).toBe(3)
  })

  test('take back what was late, also behind the next slice', () => {
    const sender = new HandSender([16_000, 16_000])
    const hand = Hand.joined(sender)
    const last = sender.sourceCount(0) - 1
    hand.hear(...sender.slice(0, 4, last), sender.data(1, 0))
    expect(hand.machine.stats().lostPackets).toBe(2)
    hand.hear(sender.data(0, last), sender.data(0, 4))
    expect(hand.machine.stats().lostPackets).toBe(0)
  })

  test('count slices passed over as lost, and the last of a run-down transfer at End', () => {
    const sender = new HandSender([16_000, 16_000, 16_000, 16_000])
    const hand = Hand.joined(sender)
    hand.hear(...sender.slice(0), ...sender.slice(2), sender.end())
    expect(hand.machine.stats().lostPackets).toBe(2 * sender.sourceCount(0))
    // Their repairs are no new losses.
    const parity = sender.sourceCount(0)
    hand.hear(...sender.slice(1, 0), sender.data(1, parity), ...sender.slice(3, 0), sender.data(3, parity))
    expect(hand.kinds.at(-1)).toBe('complete')
    expect(hand.machine.stats().lostPackets).toBe(2 * sender.sourceCount(0))
  })

  test('count gaps between repairs as lost', () => {
    const sender = new HandSender([16_000, 16_000])
    const hand = Hand.joined(sender)
    const parity = sender.sourceCount(0)
    hand.hear(...sender.slice(0, 3, 4, 5), ...sender.slice(1))
    hand.pass(20_000)
    expect(hand.messages('nack')).not.toEqual([])
    expect(hand.machine.stats().lostPackets).toBe(3)
    hand.hear(sender.data(0, parity), sender.data(0, parity + 2))
    expect(hand.machine.stats().lostPackets).toBe(4)
    // Symbols that go round again are no gap.
    hand.hear(sender.data(0, 0), sender.data(0, 3))
    expect(hand.kinds.at(-1)).toBe('slice')
    expect(hand.machine.stats()).toMatchObject({ lostPackets: 6, parityUsed: 2 })
  })

  test('tell of slices that wait for the disk, not of those that wait for repair, unless there is no more room', () => {
    const sender = new HandSender(Array.from({ length: 12 }, () => 16_000))
    const hand = Hand.joined(sender, { bufferSlices: 10 })
    hand.settlesAtOnce = false
    for (const slice of [0, 1, 2]) hand.hear(...sender.slice(slice))
    for (const slice of [3, 4, 5, 6, 7]) hand.hear(...sender.slice(slice, 0))
    const queues = () => hand.messages('report').map(({ queuePercent }) => queuePercent)
    hand.pass(80_000)
    expect(queues()).toEqual([30])
    for (const slice of [8, 9, 10]) hand.hear(...sender.slice(slice, 0))
    hand.pass(190_000)
    expect(queues()).toEqual([30, 100, 30])
    for (const slice of [0, 1]) hand.command({ kind: 'settled', slice })
    hand.pass(110_000)
    expect(queues().at(-1)).toBe(10)
  })

  test('do not tell of full buffers where a lower rate would not empty them', () => {
    // Ten buffers of 16 KB: 2.1 s at 0.6 Mbit/s.
    const told = [0.6e6, 1e6].map((rateBitsPerSec) => {
      const sender = new HandSender(Array.from({ length: 12 }, () => 16_000))
      const hand = Hand.joined(sender, { bufferSlices: 10 })
      hand.hear(sender.announce({ rateBitsPerSec }))
      for (let slice = 0; slice < 12; slice++) hand.hear(...sender.slice(slice, 0))
      hand.pass(190_000)
      return Math.max(...hand.messages('report').map(({ queuePercent }) => queuePercent))
    })
    expect(told).toEqual([0, 100])
  })

  test('of a large group are spread over its interval', () => {
    const sender = new HandSender([700])
    const firstTimes = [1, 2, 3, 4, 5].map((seed) => {
      const hand = new Hand({ random: seededRandom(seed) })
      hand.hear(sender.announce({ groupCount: 1000, reportIntervalMs: 5000 }))
      hand.command({ kind: 'opened' })
      hand.pass(12_000_000)
      // At 0, 0.3, 0.9, 2.2, 4.7, 7.2, 9.7 s, more or less: nobody answers.
      expect(hand.timesOf('join').length).toBeLessThanOrEqual(8)
      return hand.timesOf('report')[0]! - 1_000_000
    })
    expect(Math.max(...firstTimes)).toBeGreaterThan(1_000_000)
    expect(Math.max(...firstTimes)).toBeLessThanOrEqual(5_000_000)
  })
})

describe('determinism', () => {
  test('the same inputs and seed give the same bytes at the same times', () => {
    const run = (seed: number): { bytes: number[]; times: number[] } => {
      const sender = new HandSender([16_000, 16_000, 16_000])
      const hand = new Hand({ random: seededRandom(seed) })
      hand.hear(sender.announce({ groupCount: 20 }))
      hand.command({ kind: 'opened' })
      hand.hear(...sender.slice(0, 1), ...sender.slice(2))
      hand.pass(700_000)
      return { bytes: hand.bytes, times: hand.sent.map(({ atUs }) => atUs) }
    }
    expect(run(1)).toEqual(run(1))
    expect(run(1).times).not.toEqual(run(2).times)
  })
})

test('a driver’s mistakes are told', () => {
  const sender = new HandSender([700])
  const fresh = new Hand()
  expect(() => fresh.command({ kind: 'opened' })).toThrow(RangeError)
  expect(() => fresh.command({ kind: 'settled', slice: 0 })).toThrow(RangeError)
  const hand = Hand.joined(sender)
  expect(() => hand.command({ kind: 'finished' })).toThrow(RangeError)
  expect(() => hand.command({ kind: 'rejected', slice: 0 })).toThrow(RangeError)
  expect(() => new Hand({ bufferSlices: 0 })).toThrow(RangeError)
  expect(() => new Hand({ receiverId: { high: 0, low: 0 } })).toThrow(RangeError)
})
