import { beforeAll, describe, expect, test } from 'vitest'
import {
  encodeControl,
  encodeRefusal,
  imageTag,
  LIMITS,
  MAX_CONTROL_BYTES,
  type ControlMessage,
} from '../../../src/protocol/index.ts'
import { ALLOWANCE_US } from '../../../src/sender/machine/repair-allowance.ts'
import { HandDriven, receiver, SESSION, SYMBOLS } from './hand-driven.ts'

const RATE = 10_000_000
const SLICES = 400
const OVERHEAD_BYTES = 28

/** One answer, with its headers. */
const ONE_PACKET = MAX_CONTROL_BYTES + OVERHEAD_BYTES

/** What one NACK may set off: docs/security.md, "Unauthenticated sessions: floods and amplification". */
const ONE_NACK = ONE_PACKET + (RATE / 8) * (ALLOWANCE_US / 1e6) + SYMBOLS * 1500

const everything: ControlMessage = {
  kind: 'nack',
  receiver: receiver(66),
  deficits: Array.from({ length: LIMITS.slicesPerMessage }, (_, slice) => ({ slice, deficit: 255, heard: 0 })),
  missing: Array.from({ length: LIMITS.rangesPerMessage }, () => ({ first: 0, count: 60_000_000 })),
}

const named = { receiver: receiver(66), name: 'stranger' }

/** Each kind of packet that somebody can send to a sender, in its worst form. */
const PACKETS: Readonly<Record<string, ControlMessage | Uint8Array>> = {
  garbage: new Uint8Array(1472).fill(0x53),
  refusal: encodeRefusal(SESSION),
  join: { kind: 'join', ...named },
  report: {
    ...{ kind: 'report', ...named, settledCount: SLICES, settledBelow: SLICES, receivedPackets: 1, lostPackets: 1e9 },
    ...{ queuePercent: 100, echoSentAtUs: 1, echoHeldUs: 0 },
  },
  done: { kind: 'done', ...named },
  leave: { kind: 'leave', ...named, reason: 'x'.repeat(150) },
  abort: { kind: 'abort', receiver: receiver(1), reason: 'too-slow', text: '' },
  'join-ack': { kind: 'join-ack', receivers: [receiver(66)] },
  'repair-echo': { kind: 'repair-echo', pending: [{ slice: 0, symbolCount: 255 }], deferred: [{ first: 0, count: 9 }] },
  nack: everything,
}

/** A session in its main pass, or with nothing left to do but to wait for one receiver. */
function session(phase: 'sending' | 'mending'): HandDriven {
  const driven = new HandDriven(SLICES, { maxBitrate: RATE, receiverTimeoutUs: 60_000_000 })
  driven.join(1)
  driven.report(1, {})
  driven.until(phase === 'sending' ? 1_000_000 : 8_000_000)
  expect(driven.machine.stats().phase).toBe(phase)
  return driven
}

/** Bytes sent, headers included, because that packet came. What the main pass sends is sent in any case. */
function setOff(phase: 'sending' | 'mending', packet: ControlMessage | Uint8Array): number {
  const [quiet, asked] = [session(phase), session(phase)]
  if (packet instanceof Uint8Array) asked.hearBytes(packet, '10.6.6.6')
  else asked.hearBytes(encodeControl(packet, SESSION, imageTag('image')), '10.6.6.6')
  const [without, bytes] = [quiet, asked].map((driven) => {
    driven.until(16_000_000)
    return driven.machine.stats().wireBytes
  })
  return bytes! - without!
}

describe('one packet from a stranger sets off no more than', () => {
  let mended = 0
  beforeAll(() => (mended = setOff('mending', everything)))

  test.each(Object.keys(PACKETS).filter((name) => name !== 'nack'))('one control packet: %s', (name) => {
    expect(setOff('mending', PACKETS[name]!)).toBeLessThanOrEqual(ONE_PACKET)
  })

  test('what the rate allows in 2.5 s: a NACK for everything', () => {
    // The whole image is more than twice as large.
    expect(2 * mended).toBeLessThan(SLICES * SYMBOLS * 1500 + mended)
    expect(mended).toBeGreaterThan(0)
    expect(mended).toBeLessThanOrEqual(ONE_NACK)
  })

  test('the same in the main pass', () => {
    expect(setOff('sending', everything)).toBeLessThanOrEqual(ONE_NACK)
  })
})

test('what a NACK was not granted is granted when it asks again', () => {
  const driven = session('mending')
  const sentBefore = driven.data.length
  const mended = new Set<number>()
  for (let time = 1; time <= 8 && mended.size < SLICES; time++) {
    const missing = [{ first: mended.size, count: SLICES - mended.size }]
    driven.hear({ kind: 'nack', receiver: receiver(66), deficits: [], missing }, '10.6.6.6')
    driven.until(8_000_000 + time * 1_000_000)
    for (const { slice } of driven.data.slice(sentBefore)) mended.add(slice)
  }
  expect(mended.size).toBe(SLICES)
})
