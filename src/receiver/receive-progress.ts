import type { FrameConsumer } from './frame-consumer.ts'
import type { ReceiverEvent, ReceiverStats } from './machine/index.ts'
import type { ReceiveProgress } from './receive-options.ts'

/** How far a transfer is. Times in microseconds: since the call, and since the session was joined. */
export function receiveProgress(
  phase: ReceiveProgress['phase'],
  elapsedUs: number,
  transferUs: number,
  session: (ReceiverEvent & { kind: 'session' }) | undefined,
  consumer: FrameConsumer | undefined,
  stats: ReceiverStats,
): ReceiveProgress {
  const imageBytes = session?.announce.imageBytes
  const positionBytes = consumer?.coveredBytes ?? 0
  const resumedBytes = consumer?.resumedBytes ?? 0
  const percent = imageBytes === undefined ? undefined : imageBytes === 0 ? 100 : (100 * positionBytes) / imageBytes
  return {
    ...{
      phase,
      elapsedMs: elapsedUs / 1000,
      imageName: session?.announce.imageName,
      positionBytes,
      resumedBytes,
      imageBytes,
      percent,
    },
    etaMs:
      imageBytes === undefined || positionBytes === resumedBytes
        ? undefined
        : (transferUs * (imageBytes - positionBytes)) / (positionBytes - resumedBytes) / 1000,
    rateBitsPerSec: transferUs === 0 ? 0 : (stats.bytes * 8e6) / transferUs,
    stats,
  }
}
