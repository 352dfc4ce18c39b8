import { expect, test } from 'vitest'
import { Reporter } from '../../../src/receiver/machine/reporter.ts'
import type { ReceiverSession } from '../../../src/receiver/machine/receiver-session.ts'

test('losses that are taken back after they were told are taken off the next ones', () => {
  const assembly = {
    ...{ lostPackets: 0, droppedForBuffers: 0, bufferBytes: 1, backlogPercent: 0, settled: { count: 0, low: 0 } },
  }
  const announce = { feedback: { reportIntervalMs: 100 }, rateBitsPerSec: 0, sentAtUs: 0 }
  const session = { announce, announcedUs: 0, assembly, packets: 0, isSilent: () => false }
  const reporter = new Reporter(() => 0.5)
  reporter.start(0, 100, 0)
  let nowUs = 0
  const told = [5, 3, 6, 8].map((lostPackets) => {
    assembly.lostPackets = lostPackets
    const report = reporter.poll(nowUs, session as unknown as ReceiverSession)
    nowUs += 100_000
    return report?.lostPackets
  })
  expect(told).toEqual([5, 0, 1, 2])
})
