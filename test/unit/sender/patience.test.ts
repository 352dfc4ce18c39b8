import { expect, test } from 'vitest'
import type { Id64, Report } from '../../../src/protocol/index.ts'
import { Patience } from '../../../src/sender/machine/patience.ts'
import { Roster } from '../../../src/sender/machine/roster.ts'

const id = (low: number): Id64 => ({ high: 1, low })

const report = (low: number, settledCount: number): Report => ({
  ...{ kind: 'report', receiver: id(low), name: 'r', settledCount, settledBelow: settledCount, receivedPackets: 1 },
  ...{ lostPackets: 0, queuePercent: 0, echoSentAtUs: 0, echoHeldUs: 0 },
})

const MINUTE_US = 60_000_000

test('ends with those that are silent for the timeout, or for three report intervals of the group at its largest', () => {
  const roster = new Roster()
  const patience = new Patience(roster, 1_000_000)
  for (let low = 1; low <= 400; low++) {
    roster.hear(0, id(low), 'r', '10.0.0.1')
    roster.report(0, report(low, 0))
  }
  expect(patience.takeDrops(0, -Infinity, undefined)).toEqual([])
  for (let low = 2; low <= 400; low++) roster.retire(id(low), 'done', '')
  expect(patience.takeDrops(6_000_000, -Infinity, undefined)).toEqual([])
  expect(patience.takeDrops(6_000_001, -Infinity, undefined)).toEqual([{ id: id(1), text: 'silent for 6 s' }])
})

test('is longer with those that may not join yet, and therefore only ask for what they lack', () => {
  const roster = new Roster()
  const patience = new Patience(roster, 1_000_000)
  roster.hear(0, id(1), undefined, '10.0.0.1')
  roster.hear(0, id(2), 'r', '10.0.0.2')
  expect(patience.takeDrops(1_500_000, Infinity, undefined).map((drop) => drop.id)).toEqual([id(2)])
  expect(patience.takeDrops(5_000_000, 4_500_000, undefined).map((drop) => drop.id)).toEqual([id(2)])
  expect(patience.takeDrops(5_500_000, 4_500_000, undefined).map((drop) => drop.id)).toEqual([id(1), id(2)])
})

test('ends with one that reports, but settles nothing for ten minutes of mending', () => {
  const roster = new Roster()
  const patience = new Patience(roster, 30_000_000)
  const mending = { sinceUs: MINUTE_US, from: 0, below: 100 }
  // One gets on slowly, one not at all, one has everything and is not done yet.
  const settled = [(minute: number) => minute, () => 50, () => 100]
  for (let minute = 0; minute <= 11; minute++) {
    settled.forEach((count, low) => {
      roster.hear(minute * MINUTE_US, id(low + 1), 'r', '10.0.0.1')
      roster.report(minute * MINUTE_US, report(low + 1, count(minute)))
    })
    const drops = patience.takeDrops(minute * MINUTE_US, -Infinity, minute === 0 ? undefined : mending)
    expect(drops).toEqual(minute < 11 ? [] : [{ id: id(2), text: 'settled no slice for 600 s' }])
  }
})
