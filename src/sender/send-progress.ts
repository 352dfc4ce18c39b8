import type { FrameProducer } from './frame-producer.ts'
import type { ReceiverView, SenderMachine } from './machine/index.ts'
import type { SendProgress } from './send-options.ts'

/** How far a transfer is. Times in microseconds: since the call, and the moment of the first data packet. */
export function sendProgress(
  machine: SenderMachine,
  producer: FrameProducer,
  elapsedUs: number,
  firstDataUs: number | undefined,
): SendProgress {
  const stats = machine.stats()
  const receivers = receiversOf(machine, stats.slicesTotal)
  const { imageBytes } = producer
  const positionBytes = stats.phase === 'mending' ? producer.positionBytes : producer.startOf(stats.slicesBegun)
  const percent =
    stats.phase === 'mending' ? settledPercent(stats.slicesTotal, receivers) : producer.percentBefore(positionBytes)
  const sendingMs = firstDataUs === undefined ? 0 : elapsedUs / 1000
  return {
    ...{ phase: stats.phase, elapsedMs: elapsedUs / 1000, positionBytes, imageBytes, percent, stats, receivers },
    etaMs: percent === undefined || percent === 0 ? undefined : (sendingMs * (100 - percent)) / percent,
  }
}

/** All receivers. One that is done has everything: its last report was of before. */
export const receiversOf = (machine: SenderMachine, sliceCount: number | undefined): readonly ReceiverView[] =>
  machine
    .receivers()
    .map((view) => (view.state === 'done' && sliceCount !== undefined ? { ...view, settledCount: sliceCount } : view))

const share = (part: number, whole: number | undefined): number | undefined =>
  whole === undefined ? undefined : whole === 0 ? 100 : Math.min(100, (100 * part) / whole)

function settledPercent(total: number | undefined, receivers: SendProgress['receivers']): number | undefined {
  const live = receivers.filter(({ state }) => state === 'live')
  return share(Math.min(...live.map(({ settledCount }) => settledCount), total ?? 0), total)
}
