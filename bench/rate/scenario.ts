/** What the rate is tried on: four receivers, a random image, files in memory, no cap against fixed caps. */
export interface Scenario {
  readonly name: string
  readonly title: string
  readonly lossPercent: number
  /** One of the receivers writes to a disk that takes no more than this, bytes per second. */
  readonly slowDiskBytesPerSec?: number
  /** Everything that the sender's host sends, and a TCP flow beside the transfer. */
  readonly sharedBitsPerSec?: number
  /** Fixed caps to compare with, bits per second. */
  readonly caps: readonly number[]
  /** The least that is asked: best time with a cap / time without, or the TCP flow's share of the link. */
  readonly bar: number
}

const CAPS = [500, 700, 900, 1100].map((megabits) => megabits * 1e6)

export const SCENARIOS: readonly Scenario[] = [
  { name: 'loss-0', title: '0 % loss', lossPercent: 0, caps: CAPS, bar: 0.9 },
  {
    ...{
      name: 'slow-disk',
      title: 'one disk of 40 MB/s',
      lossPercent: 0,
      caps: [280e6, 310e6, 340e6, 900e6],
      bar: 0.9,
    },
    slowDiskBytesPerSec: 40_000_000,
  },
  { name: 'loss-1', title: '1 % random loss', lossPercent: 1, caps: CAPS, bar: 0.9 },
  { name: 'loss-5', title: '5 % random loss', lossPercent: 5, caps: CAPS, bar: 0.9 },
  {
    ...{ name: 'tcp', title: 'a TCP flow on the same 400 Mbit/s', lossPercent: 0, caps: [], bar: 0.25 },
    sharedBitsPerSec: 400e6,
  },
]
