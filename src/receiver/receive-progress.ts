import type { Announce } from '../protocol/index.ts'
import type { FrameConsumer } from './frame-consumer.ts'
import type { ReceiverStats } from './machine/index.ts'
import type { ReceiveProgress } from './receive-options.ts'

/** How far a transfer is. Times in microseconds: since the call, and since the session was joined. */
export function receiveProgress(
  phase: ReceiveProgress['phase'],
  elapsedUs: number,
  transferUs: number,
  announce: Pick<Announce, 'imageName' | 'imageBytes'> | undefined,
  consumer: Pick<FrameConsumer, 'coveredBytes' | 'resumedBytes'> | undefined,
  resumedSliceCount: number,
  stats: ReceiverStats,
): ReceiveProgress {
  const imageBytes = announce?.imageBytes
  const positionBytes = consumer?.coveredBytes ?? 0
  const resumedBytes = consumer?.resumedBytes ?? 0
  // Slices are data alone. The end of the first pass tells how many there are; before, the sender may expect a number. Where it does
  // not, holes count for what they are: it knows of them, not we.
  const { slicesSettled } = stats
  const slices = stats.slicesTotal ?? stats.slicesExpected
  const [done, resumed, whole] =
    slices === undefined
      ? [positionBytes, resumedBytes, imageBytes]
      : [slicesSettled, resumedSliceCount, Math.max(slices, slicesSettled)]
  const percent = whole === undefined ? undefined : whole === 0 ? 100 : (100 * done) / whole
  return {
    ...{
      phase,
      elapsedMs: elapsedUs / 1000,
      imageName: announce?.imageName,
      positionBytes,
      resumedBytes,
      imageBytes,
      percent,
    },
    etaMs:
      whole === undefined || done === resumed ? undefined : (transferUs * (whole - done)) / (done - resumed) / 1000,
    rateBitsPerSec: transferUs === 0 ? 0 : (stats.bytes * 8e6) / transferUs,
    stats,
  }
}
