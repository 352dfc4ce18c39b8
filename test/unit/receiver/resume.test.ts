import { describe, expect, test } from 'vitest'
import { SettledMap } from '../../../src/receiver/machine/index.ts'
import { GRTT_US, Hand, HandSender, RECEIVER } from './hand.ts'

const SIX = Array.from({ length: 6 }, () => 5000)

const settledOf = (...slices: readonly number[]): SettledMap => {
  const settled = new SettledMap()
  for (const slice of slices) settled.add(slice)
  return settled
}

/** A machine that joins with slices of an earlier run. */
function resumed(sender: HandSender, settled: SettledMap, announce = sender.announce()): Hand {
  const hand = new Hand()
  hand.hear(announce)
  hand.command({ kind: 'opened', settled })
  hand.hear(sender.control({ kind: 'join-ack', receivers: [RECEIVER] }))
  return hand
}

describe('a receiver that goes on with what an earlier run has settled', () => {
  test('asks for what is missing only, and is complete with it', () => {
    const sender = new HandSender(SIX)
    const hand = resumed(sender, settledOf(0, 1, 3), sender.announce({ begunCount: 6, phase: 'mending' }))
    expect(hand.machine.stats()).toMatchObject({ slicesSettled: 3 })
    hand.hear(sender.end())
    hand.pass(40 * GRTT_US)
    const asked = hand.messages('nack').flatMap(({ missing }) => missing)
    expect(asked.length).toBeGreaterThan(0)
    for (const { first, count } of asked) {
      for (let slice = first; slice < first + count; slice++) expect([2, 4, 5]).toContain(slice)
    }
    hand.hear(...sender.slice(2), ...sender.slice(4), ...sender.slice(5))
    expect(hand.order).toEqual([2, 4, 5])
    expect(hand.kinds.at(-1)).toBe('complete')
  })

  test('passes over what it has when all is sent again', () => {
    const sender = new HandSender(SIX)
    const hand = resumed(sender, settledOf(0, 1, 2, 4))
    for (const slice of SIX.keys()) hand.hear(...sender.slice(slice))
    hand.hear(sender.end())
    expect(hand.order).toEqual([3, 5])
    expect(hand.kinds.at(-1)).toBe('complete')
    expect(hand.messages('nack')).toEqual([])
    expect(hand.machine.stats()).toMatchObject({ lostPackets: 0 })
  })

  test('drops what came of its slices before it knew', () => {
    const sender = new HandSender(SIX)
    const hand = new Hand({ bufferSlices: 3 })
    hand.hear(sender.announce(), ...sender.slice(0), ...sender.slice(1, 0), ...sender.slice(2))
    hand.command({ kind: 'opened', settled: settledOf(0, 1) })
    expect(hand.order).toEqual([2])
    for (const slice of [3, 4, 5]) hand.hear(...sender.slice(slice))
    hand.hear(sender.end())
    expect(hand.order).toEqual([2, 3, 4, 5])
    expect(hand.kinds.at(-1)).toBe('complete')
    expect(hand.machine.stats()).toMatchObject({ droppedForBuffers: 0 })
  })

  test('with every slice is complete at End', () => {
    const sender = new HandSender(SIX)
    const hand = resumed(sender, settledOf(0, 1, 2, 3, 4, 5))
    hand.hear(sender.end())
    expect(hand.kinds).toEqual(['session', 'complete'])
  })

  test.each([[[0, 1, 2, 3, 4, 5, 6]], [[9]]])('with slices that the image lacks (%j) fails', (slices) => {
    const sender = new HandSender(SIX)
    const hand = resumed(sender, settledOf(...slices))
    hand.hear(sender.end())
    expect(hand.events.at(-1)).toMatchObject({ kind: 'failed', code: 'JOURNAL_REFUSED' })
  })
})
