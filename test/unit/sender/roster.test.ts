import { describe, expect, test } from 'vitest'
import type { Id64, Report } from '../../../src/protocol/index.ts'
import { Roster } from '../../../src/sender/machine/roster.ts'

const id = (low: number): Id64 => ({ high: 1, low })

const report = (low: number, given: Partial<Report> = {}): Report => ({
  ...{ kind: 'report', receiver: id(low), name: 'r', settledCount: 0, settledBelow: 0, receivedPackets: 100 },
  ...{ lostPackets: 0, queuePercent: 0, echoSentAtUs: 0, echoHeldUs: 0 },
  ...given,
})

/** A roster with receivers 1 to `count`, all heard at time 0, behind so many addresses. */
function roster(count: number, addressCount = 1): Roster {
  const made = new Roster()
  for (let low = 1; low <= count; low++) made.hear(0, id(low), `host-${low}`, `10.0.0.${1 + (low % addressCount)}`)
  return made
}

describe('members', () => {
  test('are new once, then what they are', () => {
    const made = roster(1)
    expect(made.hear(1, id(2), 'b', '10.0.0.2')).toBe('new')
    expect(made.hear(2, id(2), undefined, '10.0.0.2')).toBe('live')
    expect(made.retire(id(2), 'done', '')).toBe(true)
    expect(made.hear(3, id(2), undefined, '10.0.0.2')).toBe('done')
    expect([made.liveCount, made.knownCount]).toEqual([1, 2])
  })

  test('retire once, and not when they were never there', () => {
    const made = roster(1)
    expect(made.retire(id(1), 'left', 'why')).toBe(true)
    expect(made.retire(id(1), 'done', '')).toBe(false)
    expect(made.retire(id(7), 'done', '')).toBe(false)
    expect(made.views()).toMatchObject([{ name: 'host-1', state: 'left', reason: 'why' }])
  })

  test('are at most 16,384', () => {
    const made = roster(16_384, 16)
    for (let low = 1; low <= 16_384; low++) made.report(0, report(low))
    expect(made.hear(0, id(99_999), 'late', '10.9.9.9')).toBe('full')
    expect(made.hear(0, id(1), undefined, '10.0.0.1')).toBe('live')
    expect(made.knownCount).toBe(16_384)
  })

  test('are at most 1,024 behind one address, of those that are live', () => {
    const made = roster(1024)
    expect(made.hear(0, id(2000), 'late', '10.0.0.1')).toBe('full')
    expect(made.hear(0, id(2000), 'late', '10.0.0.2')).toBe('new')
    made.retire(id(1), 'left', '')
    expect(made.hear(0, id(3000), 'later', '10.0.0.1')).toBe('new')
    expect(made.hear(0, id(3001), 'last', '10.0.0.1')).toBe('full')
  })

  test('that never report make room for others, the first of them first, then those that are gone', () => {
    const made = roster(16_384, 16)
    for (let low = 3; low <= 16_384; low++) made.report(0, report(low))
    made.retire(id(9), 'left', '')
    const joins = [20_001, 20_002, 20_003].map((low) => made.hear(0, id(low), 'late', '10.9.9.9'))
    expect(joins).toEqual(['new', 'new', 'new'])
    expect([1, 2, 20_001].map((low) => made.view(id(low)))).toEqual([undefined, undefined, undefined])
    for (const low of [20_002, 20_003]) made.report(0, report(low))
    expect(made.hear(0, id(20_004), 'late', '10.9.9.9')).toBe('new')
    expect(made.view(id(9))).toBeUndefined()
    expect([made.knownCount, made.liveCount, made.reportingCount]).toEqual([16_384, 16_384, 16_383])
  })

  test('that never report make the group look hardly larger', () => {
    const made = roster(10_000, 16)
    expect(made.groupCount).toBe(64)
    for (let low = 1; low <= 100; low++) made.report(0, report(low))
    expect(made.groupCount).toBe(264)
    for (let low = 1; low <= 10_000; low++) made.report(0, report(low))
    expect(made.groupCount).toBe(10_000)
  })

  test('that never report are waited for 2 s, and again once they do', () => {
    const made = roster(2)
    made.report(0, report(1, { settledBelow: 7 }))
    made.noteMute(2_000_000, 100_000)
    expect(made.settledBelow(0)).toBe(0)
    made.noteMute(2_000_001, 100_000)
    expect([made.settledBelow(0), made.groupCount, made.liveCount]).toEqual([7, 1, 2])
    made.report(0, report(2, { settledBelow: 3 }))
    expect([made.settledBelow(0), made.groupCount]).toEqual([3, 2])
  })

  test('are silent when they have not been heard since', () => {
    const made = roster(3)
    made.hear(5000, id(2), undefined, '10.0.0.1')
    made.retire(id(3), 'done', '')
    expect(made.silentSince(1)).toEqual([id(1)])
    expect(made.silentSince(0)).toEqual([])
  })

  test('show the share of packets that they lost', () => {
    const made = roster(1)
    made.report(0, report(1, { receivedPackets: 90, lostPackets: 10, settledCount: 4 }))
    made.report(0, report(1, { receivedPackets: 90, lostPackets: 10, settledCount: 7 }))
    expect(made.view(id(1))).toMatchObject({ lossRatio: 0.1, settledCount: 7 })
  })
})

describe('what is settled everywhere', () => {
  test('is what the last live receiver has settled', () => {
    const made = roster(2)
    expect(made.settledBelow(0)).toBe(0)
    made.report(0, report(1, { settledBelow: 7 }))
    expect(made.settledBelow(0)).toBe(0)
    made.report(0, report(2, { settledBelow: 5 }))
    expect(made.settledBelow(0)).toBe(5)
    made.report(0, report(2, { settledBelow: 9 }))
    expect(made.settledBelow(0)).toBe(7)
    made.retire(id(1), 'dropped', '')
    expect(made.settledBelow(0)).toBe(9)
    made.retire(id(2), 'done', '')
    expect(made.settledBelow(0)).toBe(Infinity)
  })

  test('does not wait for who came after that slice was gone', () => {
    const made = roster(1)
    made.report(0, report(1, { settledBelow: 20 }))
    expect(made.settledBelow(10)).toBe(20)
    made.hear(0, id(2), 'late', '10.0.0.2')
    expect(made.settledBelow(10)).toBe(20)
    // It has resumed from a journal, and has the slices that are gone.
    made.report(0, report(2, { settledBelow: 12 }))
    expect(made.settledBelow(10)).toBe(12)
  })

  test('never goes back', () => {
    const made = roster(1)
    made.report(0, report(1, { settledBelow: 20 }))
    made.report(0, report(1, { settledBelow: 3 }))
    expect(made.settledBelow(0)).toBe(20)
  })
})

describe('struggling receivers', () => {
  const bad = { receivedPackets: 60, lostPackets: 40 }

  test('are those that lose much or have full buffers', () => {
    const made = roster(3)
    made.report(0, report(1, bad))
    made.report(0, report(2, { queuePercent: 95 }))
    made.report(0, report(3, { lostPackets: 3 }))
    expect([1, 2, 3].map((low) => made.isStruggling(id(low)))).toEqual([true, true, false])
    expect(made.isMinorityStruggling).toBe(false)
    made.retire(id(1), 'left', '')
    expect(made.isMinorityStruggling).toBe(true)
  })

  test('have one voice for each address where there are several', () => {
    const made = roster(2)
    for (let low = 11; low <= 15; low++) made.hear(0, id(low), 'liar', '10.0.0.9')
    for (const low of [1, 2]) made.report(0, report(low))
    for (let low = 11; low <= 15; low++) made.report(0, report(low, bad))
    expect(made.isMinorityStruggling).toBe(true)
    for (const low of [1, 2]) made.report(0, report(low, bad))
    expect(made.isMinorityStruggling).toBe(false)
  })

  test('have recovered after five good reports in a row, and are no longer deferred then', () => {
    const made = roster(1)
    made.report(0, report(1, bad))
    made.defer(id(1))
    for (let time = 0; time < 4; time++) made.report(0, report(1))
    made.report(0, report(1, bad))
    for (let time = 0; time < 4; time++) made.report(0, report(1))
    expect([made.isStruggling(id(1)), made.isDeferred(id(1))]).toEqual([true, true])
    made.report(0, report(1))
    expect([made.isStruggling(id(1)), made.isDeferred(id(1))]).toEqual([false, false])
    expect(made.isMinorityStruggling).toBe(false)
    made.hear(0, id(2), 'other', '10.0.0.1')
    made.report(0, report(2))
    expect(made.isMinorityStruggling).toBe(true)
  })
})

test('receivers are stuck at a slice when they report so late enough', () => {
  const made = roster(4)
  made.report(900, report(1, { settledBelow: 4 }))
  made.report(1000, report(2, { settledBelow: 4 }))
  made.report(1000, report(3, { settledBelow: 5 }))
  expect(made.stuckAt(4, 1000)).toEqual([id(2)])
  expect([made.aheadCount(3), made.aheadCount(4), made.aheadCount(5)]).toEqual([3, 1, 0])
})

describe('round-trip time', () => {
  const sample = (made: Roster, sampleUs: number, heldUs = 0) =>
    made.report(1_000_000 + sampleUs + heldUs, report(1, { echoSentAtUs: 1_000_000, echoHeldUs: heldUs }))

  test('rises quickly and falls slowly', () => {
    const made = roster(1)
    expect(made.grttUs).toBe(5000)
    sample(made, 45_000)
    expect(made.grttUs).toBe(15_000)
    sample(made, 5000)
    expect(made.grttUs).toBe(14_500)
  })

  test('leaves out the time for which the receiver held the announce', () => {
    const made = roster(1)
    sample(made, 45_000, 300_000)
    expect(made.grttUs).toBe(15_000)
  })

  test('does not believe what cannot be', () => {
    const made = roster(1)
    sample(made, 3_000_000)
    made.report(5, report(1, { echoSentAtUs: 1_000_000, echoHeldUs: 0 }))
    made.report(1_000_000, report(1, { echoSentAtUs: 0, echoHeldUs: 0 }))
    expect(made.grttUs).toBe(5000)
  })

  test('stays within its bounds, and survives the wrap of the clock', () => {
    const made = roster(1)
    for (let time = 0; time < 200; time++) sample(made, 10)
    expect(made.grttUs).toBe(5000)
    for (let time = 0; time < 200; time++) sample(made, 2_000_000)
    expect(made.grttUs).toBeLessThanOrEqual(2_000_000)
    expect(made.grttUs).toBeGreaterThan(1_900_000)
    const wrapped = roster(1)
    wrapped.report(2 ** 32 + 20_000, report(1, { echoSentAtUs: 2 ** 32 - 25_000, echoHeldUs: 0 }))
    expect(wrapped.grttUs).toBe(15_000)
  })
})
