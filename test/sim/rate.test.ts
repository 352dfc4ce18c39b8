import { describe, expect, test } from 'vitest'
import { burstBytes } from '../../src/ratelimit/index.ts'
import { simulateSuccess } from './scenario.ts'
import { TcpFlow } from './tcp-flow.ts'
import { World, type WorldSpec } from './world.ts'

const OVERHEAD_BYTES = 28
const PACKET_BYTES = 1500

interface Sent {
  readonly atUs: number
  /** With headers. */
  readonly bytes: number
}

/** What a sender sends, and when. */
function record(spec: WorldSpec): { readonly world: World; readonly sent: readonly Sent[] } {
  const sent: Sent[] = []
  const onSent: WorldSpec['onSent'] = (atUs, bytes, segmentBytes) => {
    sent.push({ atUs, bytes: bytes.length + Math.ceil(bytes.length / segmentBytes) * OVERHEAD_BYTES })
  }
  return { world: simulateSuccess({ ...spec, onSent }), sent }
}

/** Most bytes sent in any window of that length. */
function mostInWindow(sent: readonly Sent[], windowUs: number): number {
  let most = 0
  let sum = 0
  let first = 0
  for (const { atUs, bytes } of sent) {
    sum += bytes
    while (sent[first]!.atUs <= atUs - windowUs) sum -= sent[first++]!.bytes
    most = Math.max(most, sum)
  }
  return most
}

describe('a cap', () => {
  test.each([1_000_000, 20_000_000, 320_000_000])(
    'of %d bit/s is kept over any 100 ms within one burst',
    (maxBitrate) => {
      const dataBytes = Math.min(16_777_216, maxBitrate / 8)
      const path = { down: { lossRatio: 0.02, delayUs: 200 }, up: { delayUs: 200 } }
      const { sent } = record({ seed: 1, dataBytes, path, sender: { maxBitrate }, receivers: [{}, {}, {}, {}] })
      const burst = burstBytes(maxBitrate, PACKET_BYTES)
      expect(mostInWindow(sent, 100_000)).toBeLessThanOrEqual(maxBitrate / 80 + burst)
      // No burst is longer than 4 ms of the rate, or one packet.
      expect(mostInWindow(sent, 1)).toBeLessThanOrEqual(burst)
    },
  )

  test.each([1_000_000, 20_000_000, 320_000_000])('of %d bit/s is used to 2 %', (maxBitrate) => {
    const dataBytes = Math.min(33_554_432, maxBitrate / 4)
    const { sent } = record({ seed: 1, dataBytes, sender: { maxBitrate }, receivers: [{}, {}] })
    // The main pass: from the first run of data to the last.
    const data = sent.filter(({ bytes }) => bytes % PACKET_BYTES === 0)
    const bytes = data.reduce((sum, packet) => sum + packet.bytes, 0)
    const bitsPerSec = ((bytes - data[0]!.bytes) * 8e6) / (data.at(-1)!.atUs - data[0]!.atUs)
    expect(bitsPerSec / maxBitrate).toBeGreaterThan(0.98)
    expect(bitsPerSec / maxBitrate).toBeLessThan(1.02)
  })

  test('may change while the session runs', () => {
    const spec: WorldSpec = {
      ...{ seed: 1, dataBytes: 4_194_304, sender: { maxBitrate: 40_000_000 }, receivers: [{}] },
      incidents: [
        {
          when: (world) => world.sender.machine.stats().slicesBegun === 16,
          then: (world) => world.sender.setMaxBitrate(world.nowUs, 4_000_000),
        },
      ],
    }
    const { sent } = record(spec)
    const { atUs } = sent.at(-1)!
    const late = sent.filter((packet) => packet.atUs > atUs - 2_000_000 && packet.atUs <= atUs - 1_000_000)
    const bits = late.reduce((sum, packet) => sum + packet.bytes * 8, 0)
    expect(bits / 4_000_000).toBeGreaterThan(0.97)
    expect(bits / 4_000_000).toBeLessThan(1.03)
  })
})

describe('without a cap', () => {
  test.each([0, 0.01, 0.05, 0.2])('random loss of %d does not make the rate collapse', (lossRatio) => {
    const path = { down: { lossRatio, delayUs: 200 }, up: { lossRatio, delayUs: 200 } }
    const sender = { maxBitrate: undefined, windowSlices: 256 }
    const { world } = record({ seed: 2, dataBytes: 33_554_432, sliceBytes: 262_144, path, sender, receivers: [{}, {}] })
    expect((world.image.imageBytes * 8e6) / world.nowUs).toBeGreaterThan(100_000_000)
  })

  test('the rate finds a bottleneck', () => {
    const link = { bitsPerSec: 100_000_000, delayUs: 200, queueBytes: 131_072 }
    const path = { down: link, up: { delayUs: 200 } }
    const sender = { maxBitrate: undefined, windowSlices: 256 }
    const { world } = record({ seed: 2, dataBytes: 33_554_432, sliceBytes: 262_144, path, sender, receivers: [{}, {}] })
    const ratio = (world.image.imageBytes * 8e6) / world.nowUs / 100_000_000
    expect(ratio).toBeGreaterThan(0.7)
    expect(world.sender.machine.stats().wireBytes / world.image.imageBytes).toBeLessThan(1.25)
  })

  test.each([
    ['no loss', 0, undefined],
    ['1 % loss', 0.01, undefined],
    ['5 % loss', 0.05, undefined],
    ['a slow disk', 0, 12_000_000],
  ])('with %s it takes at most a ninth longer than at the best cap', (_, lossRatio, diskBytesPerSec) => {
    const bitsPerSec = 300_000_000
    const elapsedUs = (seed: number, maxBitrate: number | undefined): number => {
      const disk = diskBytesPerSec === undefined ? {} : { diskBytesPerSec }
      return simulateSuccess({
        ...{ seed, dataBytes: 100_663_296, sliceBytes: 262_144 },
        path: { down: { bitsPerSec, delayUs: 200, queueBytes: 524_288, lossRatio }, up: { delayUs: 200, lossRatio } },
        sender: { maxBitrate, windowSlices: 256 },
        receivers: [{ skipsDigest: true }, { skipsDigest: true, ...disk }],
      }).nowUs
    }
    const caps = [0.3, 0.8, 0.95].map((share) => share * bitsPerSec)
    for (const seed of lossRatio === 0 ? [3] : [3, 4, 5]) {
      const bestUs = Math.min(...caps.map((cap) => elapsedUs(seed, cap)))
      expect(elapsedUs(seed, undefined) / bestUs).toBeLessThan(10 / 9)
    }
  })

  // Who meets whose queue when is chance: the mean of a few worlds tells the share.
  test.each([2, 10, 50])('a TCP flow keeps a quarter of an uplink whose queue holds %d ms, and so do we', (queueMs) => {
    const bitsPerSec = 400_000_000
    const shares = [1, 2, 3, 4].map((seed) => {
      const spec: WorldSpec = {
        ...{ seed, dataBytes: 201_326_592, sliceBytes: 262_144, path: { up: { delayUs: 200 } } },
        network: { uplink: { bitsPerSec, delayUs: 200, queueBytes: (bitsPerSec / 8000) * queueMs } },
        sender: { maxBitrate: undefined, windowSlices: 256 },
        receivers: [{ skipsDigest: true }, { skipsDigest: true }],
      }
      const world = new World(spec)
      const tcp = new TcpFlow(world, 200)
      world.run()
      const ours = (world.image.imageBytes * 8e6) / world.nowUs
      return { tcp: tcp.bitsPerSec(1_000_000, world.nowUs) / bitsPerSec, ours: ours / bitsPerSec }
    })
    const mean = (of: 'tcp' | 'ours'): number => shares.reduce((sum, share) => sum + share[of], 0) / shares.length
    expect(mean('tcp')).toBeGreaterThan(0.25)
    expect(mean('ours')).toBeGreaterThan(0.25)
  })

  test('a sender that pauses in the middle of a slice is told of no losses', () => {
    const pause: NonNullable<WorldSpec['incidents']>[number] = {
      when: (world) => world.sender.machine.stats().sourceSymbols === 460,
      then: (world) => {
        world.sender.setMaxBitrate(world.nowUs, 50_000)
        world.schedule(world.nowUs + 1_000_000, () => world.sender.setMaxBitrate(world.nowUs, 20_000_000))
      },
    }
    const spec: WorldSpec = {
      ...{ seed: 4, dataBytes: 4_194_304, sliceBytes: 262_144, path: { down: { delayUs: 200 }, up: { delayUs: 200 } } },
      ...{ sender: { maxBitrate: 20_000_000 }, receivers: [{}], incidents: [pause] },
    }
    const world = simulateSuccess(spec)
    expect(world.receivers[0]!.machine.stats()).toMatchObject({ lostPackets: 0 })
    expect(world.receivers[0]!.machine.stats().nacksSent).toBeGreaterThan(0)
  })
})

describe('the same seed', () => {
  const spec: WorldSpec = {
    ...{
      seed: 5,
      isRecorded: true,
      receivers: [{}, { isSequential: true }, { joinAtUs: 100_000, startTimeoutUs: 2_000_000 }],
    },
    path: { down: { lossRatio: 0.05, jitterUs: 500, duplicateRatio: 0.02 }, up: { lossRatio: 0.05, jitterUs: 500 } },
  }

  test('gives the same bytes at the same times', () => {
    const [first, second] = [simulateSuccess(spec), simulateSuccess(spec)]
    expect(first.recording()).toBe(second.recording())
    expect(first.sender.machine.stats()).toEqual(second.sender.machine.stats())
  })

  test('is not the same as another', () => {
    const other = new World({ ...spec, seed: 6 }).run()
    expect(other.recording()).not.toBe(simulateSuccess(spec).recording())
  })
})
