import { describe, expect, test } from 'vitest'
import { RepairPlanner } from '../../../src/sender/machine/repair-planner.ts'
import { SliceTable } from '../../../src/sender/machine/slice-table.ts'

const K = 182
const GUARD_US = 10_000

/** A planner over slices of 182 source symbols, of which `held` are in memory and have been sent once. */
function plan(held: Iterable<number>, sourceCount = K) {
  const window = new Set(held)
  const table = new SliceTable()
  const planner = new RepairPlanner(table, {
    sourceSymbolCount: (slice) => (window.has(slice) ? sourceCount : undefined),
  })
  for (let slice = 0; slice < 64; slice++) for (let symbol = 0; symbol < sourceCount; symbol++) table.advance(slice)
  const ask = (nowUs: number, slice: number, deficit: number, heard: number) =>
    planner.ask(nowUs, { slice, deficit, heard }, nowUs + 1000, GUARD_US)
  /** Sends all repairs that are due. */
  const send = (nowUs: number): [slice: number, symbol: number][] => {
    const sent: [number, number][] = []
    for (let slice = planner.dueSlice(nowUs); slice !== undefined; slice = planner.dueSlice(nowUs)) {
      sent.push([slice, planner.takeSymbol(nowUs, slice, sourceCount)])
    }
    return sent
  }
  return { planner, window, table, ask, send }
}

describe('repair of slices in memory', () => {
  test('sends the largest deficit of all who ask, once, as fresh parity', () => {
    const { ask, send } = plan([5])
    expect(ask(0, 5, 2, K)).toBe(2)
    expect(ask(100, 5, 4, K)).toBe(4)
    expect(ask(200, 5, 3, K)).toBeUndefined()
    expect(send(1000)).toEqual([182, 183, 184, 185].map((symbol) => [5, symbol]))
    expect(send(5000)).toEqual([])
  })

  test('waits for the aggregation time of the first who asks, whatever others do', () => {
    const { planner, ask, send } = plan([5, 6])
    ask(0, 5, 1, K)
    ask(900, 5, 2, K)
    ask(950, 6, 1, K)
    expect(planner.nextDueUs()).toBe(1000)
    expect(send(999)).toEqual([])
    expect(send(1000)).toHaveLength(2)
    expect(planner.nextDueUs()).toBe(1950)
  })

  test('takes off what went out after the last symbol that the receiver heard', () => {
    const { ask, send } = plan([5])
    ask(0, 5, 3, K)
    send(1000)
    // 182, 183 and 184 are under way to a receiver that has heard the source symbols only.
    expect(ask(1500, 5, 3, K)).toBeUndefined()
    expect(ask(1500, 5, 5, K)).toBe(2)
    // One that has heard 184 gets nothing more from them.
    expect(ask(1500, 5, 4, 185)).toBe(4)
  })

  test('sends again what was under way and must be lost by now', () => {
    const { ask, send } = plan([5])
    ask(0, 5, 3, K)
    send(1000)
    expect(ask(1000 + GUARD_US, 5, 3, K)).toBe(3)
    expect(send(1000 + GUARD_US + 1000)).toEqual([185, 186, 187].map((symbol) => [5, symbol]))
  })

  test('sends all source symbols again to who has nothing and parity would not do', () => {
    const { ask, send } = plan([5])
    expect(ask(0, 5, 255, 0)).toBe(K)
    expect(send(1000).map(([, symbol]) => symbol)).toEqual(Array.from({ length: K }, (_, symbol) => symbol))
  })

  test('sends parity to who has nothing where there is enough of it', () => {
    const { ask, send } = plan([5], 12)
    expect(ask(0, 5, 255, 0)).toBe(12)
    expect(send(1000).map(([, symbol]) => symbol)).toEqual(Array.from({ length: 12 }, (_, symbol) => 12 + symbol))
  })

  test('ignores who asks for everything while everything is on its way', () => {
    const { ask, send } = plan([5])
    ask(0, 5, 255, 0)
    send(1000)
    expect(ask(2000, 5, 255, 0)).toBeUndefined()
  })

  test('goes round when parity runs out, with so many more as the receiver has of them', () => {
    const { ask, send } = plan([5])
    expect(ask(0, 5, 73, K)).toBe(73)
    expect(send(1000).at(-1)).toEqual([5, 254])
    // 255 - 182 + 20 = 93 of 255 symbols are lacking, so 20 new ones are among 55.
    expect(ask(50_000, 5, 20, 255)).toBe(Math.ceil((20 * 255) / 93))
    expect(send(60_000)[0]).toEqual([5, 0])
    // While these go round, nobody can tell what is on its way to whom.
    expect(ask(60_500, 5, 20, 255)).toBeUndefined()
  })

  test('goes round for who needs more than what is left of parity', () => {
    const { ask } = plan([5])
    expect(ask(0, 5, 74, K)).toBe(Math.ceil((74 * 255) / (255 - K + 74)))
  })

  test('repairs slices in the order in which they were asked for', () => {
    const { ask, send } = plan([3, 5, 7])
    ask(0, 7, 1, K)
    ask(1, 3, 1, K)
    ask(2, 5, 1, K)
    expect(send(2000).map(([slice]) => slice)).toEqual([7, 3, 5])
  })
})

describe('slices that some hold part of and others nothing', () => {
  test('are repaired before slices that are wanted whole', () => {
    const { planner, ask, send } = plan([3, 5])
    ask(0, 3, 255, 0)
    ask(10, 5, 2, K)
    expect([planner.isPartly(3), planner.isPartly(5), planner.dueCount]).toEqual([false, true, 2])
    expect(planner.nextDueUs()).toBe(1000)
    const sent = send(2000).map(([slice]) => slice)
    expect(sent).toEqual([5, 5, ...Array.from({ length: K }, () => 3)])
    expect([planner.dueCount, planner.nextDueUs()]).toEqual([0, undefined])
  })

  test('get what those lack as fresh parity first, and the rest after all such', () => {
    const { planner, ask, send } = plan([3, 5])
    ask(0, 3, 255, 0)
    expect(ask(1, 3, 4, K)).toBe(4)
    expect(ask(2, 3, 2, K)).toBeUndefined()
    ask(3, 5, 1, K)
    expect(planner.pending(3)).toBe(K)
    const sent = send(2000)
    expect(sent.slice(0, 5)).toEqual([...[182, 183, 184, 185].map((symbol) => [3, symbol]), [5, 182]])
    const rest = sent.slice(5)
    expect(rest.every(([slice]) => slice === 3)).toBe(true)
    expect(new Set(rest.map(([, symbol]) => symbol)).size).toBe(K - 4)
  })

  test('are repaired whole when that is asked for later', () => {
    const { planner, ask, send } = plan([3])
    ask(0, 3, 4, K)
    expect(ask(1, 3, 255, 0)).toBe(K)
    expect(planner.dueCount).toBe(1)
    expect(send(2000)).toHaveLength(K)
    expect([planner.dueCount, planner.pending(3)]).toEqual([0, 0])
  })
})

describe('deferred slices', () => {
  test('wait, and are handed out in ascending order and round again', () => {
    const { planner, ask, send } = plan([])
    for (const slice of [9, 2, 5]) ask(0, slice, 3, K)
    expect(planner.deferredCount).toBe(3)
    expect(send(1e6)).toEqual([])
    const take = () => planner.takeDeferred(64, () => false)
    expect([take(), take(), take(), take()]).toEqual([2, 5, 9, 2])
  })

  test('are told to the group each time they are asked for', () => {
    const { ask } = plan([])
    expect([ask(0, 9, 3, K), ask(1, 9, 3, K), ask(2, 9, 255, 0), ask(3, 9, 3, K)]).toEqual([3, 3, 255, 255])
  })

  test('are repaired at once when they are back in memory', () => {
    const { planner, window, ask, send } = plan([])
    ask(0, 9, 3, K)
    window.add(9)
    planner.restore(5000, 9, K)
    expect(planner.deferredCount).toBe(0)
    expect(send(5000)).toEqual([182, 183, 184].map((symbol) => [9, symbol]))
    expect([planner.deferredCount, planner.dueCount]).toEqual([0, 0])
  })

  test('are sent whole from the first symbol on when somebody has nothing of them', () => {
    const { planner, window, ask, send } = plan([])
    ask(0, 9, 255, 0)
    window.add(9)
    planner.restore(5000, 9, K)
    expect(send(5000).map(([, symbol]) => symbol)).toEqual(Array.from({ length: K }, (_, symbol) => symbol))
  })

  test('get more symbols where these go round', () => {
    const { planner, window, ask, send } = plan([])
    ask(0, 9, 100, K)
    window.add(9)
    planner.restore(5000, 9, K)
    expect(send(5000)).toHaveLength(Math.ceil((100 * 255) / (255 - K + 100)))
  })

  test('are what a slice becomes that leaves memory unrepaired', () => {
    const { planner, window, ask, send } = plan([5, 6])
    ask(0, 5, 2, K)
    ask(0, 6, 2, K)
    window.delete(5)
    planner.evict(5, false)
    expect(planner.deferredCount).toBe(1)
    expect(send(1000).map(([slice]) => slice)).toEqual([6, 6])
    expect(planner.takeDeferred(64, () => false)).toBe(5)
  })

  test('are none where a slice is gone for good', () => {
    const { planner, window, ask, send } = plan([5])
    ask(0, 5, 2, K)
    window.delete(5)
    planner.evict(5, true)
    expect([planner.deferredCount, planner.dueCount, send(1000)]).toEqual([0, 0, []])
  })

  test('are none when all that is pending is in memory', () => {
    const { planner, ask } = plan([5])
    ask(0, 5, 2, K)
    expect(planner.takeDeferred(64, (slice) => slice === 5)).toBeUndefined()
    expect(planner.dueCount).toBe(1)
  })
})
