import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FLOODS, startFlood } from '../lab/floods.ts'
import { firstDifference, writeRandomImage } from '../lab/images.ts'
import { Lab } from '../lab/lab.ts'
import { MemoryGroup } from '../lab/memory-group.ts'
import { startReceiver, startSender } from '../lab/skilfish-process.ts'

const MIB = 1024 * 1024
const BITS_PER_SEC = 100_000_000

/** What one address may ask for at once: see docs/security.md. With a second for the time between the main pass and the last copy. */
const REPAIR_SEC = 2.5 + 1

/** Lines of the sender's log: of receivers, and what else there is to tell. */
const MAX_LOG_LINES = 4096 + 64

const folder = mkdtempSync('/dev/shm/skilfish-floods-')
const at = (name: string): string => join(folder, name)
let lab: Lab

beforeAll(async () => {
  lab = Lab.up({ receiverCount: 3 })
  await writeRandomImage(at('image'), 32 * MIB, 1)
})
afterAll(() => {
  lab.down()
  rmSync(folder, { recursive: true, force: true })
})

describe('a session without a key goes on, in bounded memory, under a flood of', () => {
  it.each(FLOODS.map((flood) => [flood.name, flood] as const))('%s', async (name, flood) => {
    const memories = ['sender', 'receiver-1', 'receiver-2'].map(
      (name) => new MemoryGroup(`skilfish-flooded-${name}`, 256 * MIB),
    )
    try {
      const endFlood = await startFlood(lab, 3, flood)
      const receivers = [1, 2].map((host) => startReceiver(lab, host, [at(`copy-${host}`)]))
      receivers.forEach(({ child }, index) => memories[1 + index]!.add(child.pid!))
      // Made-up receivers would have the session begin without them.
      await Promise.all(receivers.map((receiver) => receiver.until(({ type }) => type === 'log')))
      const options = ['--min-receivers', '2', '--receiver-timeout', '5', '--max-bitrate', '100M']
      const sender = startSender(lab, [...options, at('image')])
      memories[0]!.add(sender.child.pid!)
      const received = await Promise.all(receivers.map(({ ended }) => ended))
      const floodCount = await endFlood()
      const sent = await sender.ended
      expect(received.map(({ status, errorCode }) => errorCode ?? status)).toEqual([0, 0])
      for (const host of [1, 2]) expect(await firstDifference(at('image'), at(`copy-${host}`))).toBeUndefined()
      expect(memories.map(({ killCount }) => killCount)).toEqual([0, 0, 0])
      expect(floodCount).toBeGreaterThan(flood.perSecond)

      for (const { result } of received) {
        expect(result!.stats.malformedPackets + result!.stats.foreignPackets).toBeGreaterThan(floodCount / 40)
      }

      const { stats, receivers: known } = sent.result!
      // Those that were made up never finish, which the sender tells.
      const isJoined = name !== 'garbage'
      expect([sent.status === 0, known.length > 2]).toEqual([!isJoined, isJoined])
      expect(sender.count(({ type }) => type === 'log')).toBeLessThan(MAX_LOG_LINES)
      if (!isJoined) expect(stats.malformedPackets + stats.foreignPackets).toBeGreaterThan(floodCount / 4)
      const packetBits = (8 * stats.wireBytes) / stats.packets
      const repairs = stats.paritySymbols + stats.resentSymbols
      expect(repairs).toBeLessThan(stats.sourceSymbols / 2 + (REPAIR_SEC * BITS_PER_SEC) / packetBits)
    } finally {
      for (const host of [1, 2]) rmSync(at(`copy-${host}`), { force: true })
      for (const memory of memories) await memory.remove()
    }
  })
})
