import { expect, test } from 'vitest'
import { decodeControl, encodeControl, LIMITS, type ControlMessage, type Id64 } from '../../../src/protocol/index.ts'
import { TokenBucket } from '../../../src/ratelimit/index.ts'
import { Outbox } from '../../../src/sender/machine/outbox.ts'

const SESSION = { high: 1, low: 2 }
const id = (low: number): Id64 => ({ high: 3, low })

const ANNOUNCE: ControlMessage = {
  ...{ kind: 'announce', imageId: 'i', imageName: 'n', imageBytes: 1, sliceBytes: 16_384, packetBytes: 1472, codec: 0 },
  ...{ phase: 'sending', begunCount: 0, sentAtUs: 1, rateBitsPerSec: 1 },
  feedback: { grttUs: 5000, groupCount: 1, reportIntervalMs: 100, receiverTimeoutMs: 1000, joinLimit: 65_536 },
}
const END: ControlMessage = {
  ...{ kind: 'end', sliceCount: 1, imageBytes: 1, dataBytes: 1, rootDigest: new Uint8Array(32), isClosing: false },
}

/** @param answersBitsPerSec of which 8 KiB may go out at once */
const make = (answersBitsPerSec = 1e9): Outbox =>
  new Outbox((message) => encodeControl(message, SESSION, 0), new TokenBucket(0, answersBitsPerSec, 8192))

/** All that an outbox sends at that time. */
function sent(outbox: Outbox, nowUs: number): ControlMessage[] {
  const messages: ControlMessage[] = []
  for (;;) {
    const packet = outbox.poll(nowUs, (kind) => (kind === 'end' ? END : ANNOUNCE))
    if (packet === undefined) return messages
    const message = decodeControl(packet, 0, packet.length)
    if (typeof message === 'string') throw new Error(message)
    messages.push(message)
  }
}

const kinds = (outbox: Outbox, nowUs: number): string[] => sent(outbox, nowUs).map((message) => message.kind)

test('announces often while receivers gather, then at the usual pace', () => {
  const outbox = make()
  expect(kinds(outbox, 0)).toEqual(['announce'])
  expect(outbox.nextUs(0)).toBe(50_000)
  expect(kinds(outbox, 49_999)).toEqual([])
  expect(kinds(outbox, 50_000)).toEqual(['announce'])
  outbox.hurryAnnounce()
  expect(kinds(outbox, 50_001)).toEqual(['announce'])
  expect(outbox.nextUs(50_001)).toBe(250_001)
})

test('beacons End twice as often, once it is told to', () => {
  const outbox = make()
  sent(outbox, 0)
  outbox.hurryAnnounce()
  sent(outbox, 0)
  outbox.startEnd(50_000)
  expect(kinds(outbox, 50_000)).toEqual(['end'])
  expect(kinds(outbox, 150_000)).toEqual(['end'])
  expect(outbox.nextUs(150_000)).toBe(200_000)
})

test('acknowledges many receivers in one message, and more in more', () => {
  const outbox = make()
  sent(outbox, 0)
  for (let low = 1; low <= LIMITS.acknowledgedReceivers + 1; low++) outbox.acknowledge('join', id(low), 50)
  outbox.acknowledge('done', id(7), 90)
  expect(outbox.nextUs(0)).toBe(0)
  const messages = sent(outbox, 1)
  expect(messages.map((message) => message.kind)).toEqual(['join-ack', 'join-ack', 'done-ack'])
  expect(messages[1]).toMatchObject({ receivers: [id(LIMITS.acknowledgedReceivers + 1)] })
})

test('waits for more to acknowledge, as long as it may', () => {
  const outbox = make()
  sent(outbox, 0)
  outbox.acknowledge('join', id(1), 9000)
  outbox.acknowledge('done', id(2), 5000)
  expect([outbox.nextUs(0), kinds(outbox, 4999)]).toEqual([5000, []])
  expect(kinds(outbox, 5000)).toEqual(['join-ack', 'done-ack'])
  expect(outbox.nextUs(5000)).toBe(50_000)
})

test('keeps no more acknowledgements than a few messages hold', () => {
  const outbox = make()
  sent(outbox, 0)
  for (let low = 1; low <= 10_000; low++) outbox.acknowledge('join', id(low), 50)
  expect(sent(outbox, 1)).toHaveLength(8)
})

test('puts repairs into one echo, and deferred neighbours into one range', () => {
  const outbox = make()
  sent(outbox, 0)
  outbox.echo(8, 2)
  outbox.echo(9, 1)
  for (const first of [3, 4, 5, 7]) outbox.echoDeferred({ first, count: 1 })
  expect(sent(outbox, 1)).toEqual([
    {
      kind: 'repair-echo',
      pending: [
        { slice: 8, symbolCount: 2 },
        { slice: 9, symbolCount: 1 },
      ],
      deferred: [
        { first: 3, count: 3 },
        { first: 7, count: 1 },
      ],
    },
  ])
})

test('leaves out of an echo what one message does not hold', () => {
  const outbox = make()
  sent(outbox, 0)
  for (let slice = 0; slice < 1000; slice++) {
    outbox.echo(2 * slice, 1)
    outbox.echoDeferred({ first: 2 * slice, count: 1 })
  }
  const [echo] = sent(outbox, 1)
  expect(echo).toMatchObject({ kind: 'repair-echo' })
  expect(echo?.kind === 'repair-echo' && [echo.pending.length, echo.deferred.length]).toEqual([
    LIMITS.slicesPerMessage,
    LIMITS.rangesPerMessage,
  ])
})

test('says the last word three times, apart', () => {
  const outbox = make()
  sent(outbox, 0)
  outbox.sayLast(0, { ...END, isClosing: true })
  expect(outbox.isEmpty).toBe(false)
  expect([0, 9999, 10_000, 20_000].map((nowUs) => sent(outbox, nowUs).length)).toEqual([1, 0, 1, 1])
  expect(outbox.isEmpty).toBe(true)
})

test('drops what would make its queue grow without end', () => {
  const outbox = make()
  sent(outbox, 0)
  for (let low = 1; low <= 1000; low++) {
    outbox.say(0, { kind: 'abort', receiver: id(low), reason: 'too-slow', text: '' })
  }
  outbox.sayLast(0, { ...END, isClosing: true })
  expect(sent(outbox, 20_000)).toHaveLength(64 + 3)
})

test('answers no faster than it may, and says its own besides', () => {
  const outbox = make(80_000)
  const refusal = { kind: 'abort', reason: 'too-slow', text: 'x'.repeat(150) } as const
  for (let low = 1; low <= 64; low++) outbox.say(0, { ...refusal, receiver: id(low) })
  outbox.echo(1, 1)
  outbox.acknowledge('join', id(1), 0)
  const atOnce = kinds(outbox, 0)
  expect(atOnce.filter((kind) => kind === 'abort').length).toBeLessThan(8192 / 150)
  expect(atOnce).toContain('announce')
  expect(outbox.nextUs(0)).toBeLessThanOrEqual(50_000)
  // 10 kB a second for some 15 kB.
  expect(outbox.isEmpty).toBe(false)
  for (let nowUs = 50_000; nowUs <= 3_000_000; nowUs += 50_000) kinds(outbox, nowUs)
  expect(outbox.isEmpty).toBe(true)
  expect(outbox.waiting).toEqual({ packets: 0, acks: 0, echoes: 0 })
})
