import { describe, expect, test } from 'vitest'
import { KindFilter, PACKET_KINDS, type PacketKind } from './packet-kinds.ts'
import { outcomes, simulate } from './scenario.ts'
import type { World, WorldSpec } from './world.ts'

/** A session in which packets of every kind but Abort are sent: losses, and one receiver that leaves. */
const SESSION: Omit<WorldSpec, 'network'> = {
  seed: 21,
  sender: { maxBitrate: 30_000_000, receiverTimeoutUs: 3_000_000, windowSlices: 8 },
  path: { down: { lossRatio: 0.03, delayUs: 300 }, up: { delayUs: 300 } },
  receivers: [{}, {}, {}],
  incidents: [
    {
      when: (world) => world.sender.machine.stats().slicesBegun > 6,
      then: (world) => world.receivers[2]!.leave(world.nowUs),
    },
  ],
}

/** The same, but the sender is stopped in the middle. */
const ABORTED: Omit<WorldSpec, 'network'> = {
  ...SESSION,
  incidents: [
    { when: (world) => world.sender.machine.stats().slicesBegun > 6, then: (world) => world.sender.abort(world.nowUs) },
  ],
}

const specOf = (kind: PacketKind): Omit<WorldSpec, 'network'> => (kind === 'abort' ? ABORTED : SESSION)

function expectGoodEnd(kind: PacketKind, world: World): void {
  const expected =
    kind === 'abort' ? ['SENDER_ABORTED', 'SENDER_ABORTED', 'SENDER_ABORTED'] : ['complete', 'complete', 'running']
  expect(outcomes(world)).toEqual(expected)
}

function run(kind: PacketKind, filter: KindFilter): World {
  return simulate({ ...specOf(kind), network: { filter: filter.filter } })
}

/** Packets of the kind that a session sends on each path when none of them is lost. */
function countsOf(kind: PacketKind): ReadonlyMap<string, number> {
  const filter = new KindFilter(kind, () => false)
  expectGoodEnd(kind, run(kind, filter))
  return filter.counts
}

describe.each(PACKET_KINDS)('%s', (kind) => {
  test('is sent at all', () => {
    expect(countsOf(kind).size).toBeGreaterThan(0)
  })

  test('may be lost the first time, or the first three times, on every path', () => {
    // A Leave is said once, and a receiver that did not say it is found by its silence.
    for (const count of kind === 'abort' ? [1, 2] : [1, 3]) {
      expectGoodEnd(kind, run(kind, new KindFilter(kind, (ordinal) => ordinal <= count)))
    }
  })

  test('may be lost on one path only', () => {
    for (const path of countsOf(kind).keys()) {
      expectGoodEnd(kind, run(kind, new KindFilter(kind, (ordinal, on) => on === path && ordinal === 1)))
    }
  })

  test('may be lost the last time, on every path', () => {
    const counts = countsOf(kind)
    const isLast = (ordinal: number, path: string): boolean => ordinal === counts.get(path)
    expectGoodEnd(kind, run(kind, new KindFilter(kind, isLast)))
  })

  test('may be lost every other time', () => {
    expectGoodEnd(kind, run(kind, new KindFilter(kind, (ordinal) => ordinal % 2 === 1)))
  })
})

describe('a kind that never arrives', () => {
  const never = (kind: PacketKind): World => run(kind, new KindFilter(kind, () => true))

  test.each(['join', 'join-ack', 'report', 'repair-echo', 'done-ack', 'leave'] as const)(
    '%s: all get the image',
    (kind) => {
      expect(outcomes(never(kind)).slice(0, 2)).toEqual(['complete', 'complete'])
    },
  )

  test('parity: what is asked for long enough comes as source symbols', () => {
    const filter = new KindFilter('parity', () => true)
    // All 210 parity symbols of a slice come first, one or two at a time, as slowly as vain NACKs go.
    const world = simulate({ ...SESSION, limitUs: 2_000_000_000, network: { filter: filter.filter } })
    expect(outcomes(world).slice(0, 2)).toEqual(['complete', 'complete'])
  })

  test('nack: the sender drops nobody that still reports, until the test cuts it off', () => {
    const filter = new KindFilter('nack', () => true)
    const cut = {
      when: (world: World) => world.nowUs > 20_000_000,
      then: (world: World) => world.sender.abort(world.nowUs),
    }
    const world = simulate({ ...SESSION, incidents: [cut], network: { filter: filter.filter } })
    expect(outcomes(world)).toEqual(['SENDER_ABORTED', 'SENDER_ABORTED', 'SENDER_ABORTED'])
  })

  test('end: the receivers wait for it, and fail by name when the sender goes', () => {
    const filter = new KindFilter('end', () => true)
    const cut = { when: (world: World) => world.nowUs > 20_000_000, then: (world: World) => world.sender.kill() }
    const world = simulate({ ...SESSION, incidents: [cut], network: { filter: filter.filter } })
    expect(outcomes(world)).toEqual(['SENDER_LOST', 'SENDER_LOST', 'SENDER_LOST'])
  })

  test('done: the receivers are complete, and the sender names them', () => {
    const world = never('done')
    expect(outcomes(world).slice(0, 2)).toEqual(['complete', 'complete'])
    expect(world.sender.outcome).toMatchObject({ failed: 'RECEIVERS_FAILED' })
  })

  test('announce: nobody takes part', () => {
    const filter = new KindFilter('announce', () => true)
    const sender = { ...SESSION.sender, startTimeoutUs: 2_000_000 }
    const receivers = SESSION.receivers.map((receiver) => ({ ...receiver, startTimeoutUs: 3_000_000 }))
    const world = simulate({ ...SESSION, sender, receivers, incidents: [], network: { filter: filter.filter } })
    expect(outcomes(world)).toEqual(['NO_SENDER', 'NO_SENDER', 'NO_SENDER'])
    expect(world.sender.outcome).toMatchObject({ failed: 'NO_RECEIVERS' })
  })
})
