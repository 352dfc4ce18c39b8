import { expect, test } from 'vitest'
import { planGeometry } from '../../../src/protocol/index.ts'
import { DataStream } from '../../../src/sender/machine/data-stream.ts'
import { FrameWindow } from '../../../src/sender/machine/frame-window.ts'
import { RepairPlanner } from '../../../src/sender/machine/repair-planner.ts'
import { SliceTable } from '../../../src/sender/machine/slice-table.ts'

const GEOMETRY = planGeometry({ family: 4, sliceBytes: 16_384 })
const GROUP = { groupCount: 1, grttUs: 5000 }

test('repairs that nothing was kept waiting for are not owed to the main pass', () => {
  const table = new SliceTable()
  const window = new FrameWindow(GEOMETRY.symbolBytes)
  const planner = new RepairPlanner(table, window)
  const stream = new DataStream(
    {
      ...{ session: { high: 1, low: 1 }, imageId: 'image', geometry: GEOMETRY, fec: 'off', canReread: true },
      encoder: { load: () => undefined, parityInto: () => undefined },
    },
    table,
    window,
    planner,
  )
  const into = new Uint8Array(GEOMETRY.packetBytes)
  const send = (): boolean => stream.nextInto(0, into, 0, GROUP)
  const give = (from: number, below: number): void => {
    for (let slice = from; slice < below; slice++) {
      table.reach(slice)
      window.add(slice, new Uint8Array(16_448))
    }
  }
  give(0, 100)
  while (send());
  // The source stalls; a receiver that has come late asks for everything.
  for (let slice = 0; slice < 100; slice++) planner.ask(0, { slice, deficit: 255, heard: 0 }, 0, 0)
  while (send());
  expect(stream.counters.paritySymbols).toBe(stream.counters.sourceSymbols)
  // It goes on, and somebody lacks a little.
  give(100, 200)
  planner.ask(0, { slice: 50, deficit: 12, heard: 0 }, 0, 0)
  const { sourceSymbols, paritySymbols } = stream.counters
  for (let count = 0; count < 36; count++) send()
  expect(stream.counters.paritySymbols - paritySymbols).toBe(12)
  expect(stream.counters.sourceSymbols - sourceSymbols).toBe(24)
})
