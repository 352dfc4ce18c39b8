import { formatBitrate } from '../ratelimit/index.ts'
import type { SendProgress, SendResult } from '../sender/index.ts'
import type { Outcome, ProgressUpdate } from './output.ts'
import {
  formatBytes,
  formatCount,
  formatPosition,
  formatRunningTime,
  formatShare,
  formatTable,
  formatTime,
  shorten,
} from './quantities.ts'

type Receivers = SendProgress['receivers']

/** Columns that the name of the slowest receiver may take in a line of progress. */
const NAME_COLUMNS = 20

/** Receivers named in the summary. */
const NAMED_RECEIVERS = 50

/** What people see of the progress at the sender. */
export function sendUpdate(
  progress: SendProgress,
  rateBitsPerSec: number,
  wait: { readonly minReceivers: number; readonly isKeyHeard: boolean },
): ProgressUpdate {
  const { phase, elapsedMs, percent, positionBytes, imageBytes, etaMs, stats, receivers } = progress
  const common = { raw: progress, elapsedMs }
  if (phase === 'gathering') {
    const came = receivers.filter(({ state }) => state === 'live').length
    return {
      ...{ ...common, phase: 'waiting for receivers', percent: undefined },
      facts: [`${came} of ${wait.minReceivers} came`, formatRunningTime(elapsedMs)],
      details: wait.isKeyHeard ? ['press any key to start now'] : [],
    }
  }
  const eta = etaMs === undefined ? [] : [`ETA ${formatTime(etaMs)}`]
  const repairs = stats.paritySymbols + stats.resentSymbols
  return {
    ...{ ...common, phase, percent },
    facts: [formatPosition(positionBytes, imageBytes), formatBitrate(rateBitsPerSec), ...eta],
    details: [
      `loss ${formatShare(meanLoss(receivers), 1)}`,
      `repairs ${formatShare(repairs, stats.sourceSymbols)}`,
      ...describeReceivers(receivers, stats.slicesTotal ?? stats.slicesBegun),
    ],
  }
}

function describeReceivers(receivers: Receivers, sliceCount: number): string[] {
  const count = (wanted: Receivers[number]['state']): number => receivers.filter(({ state }) => state === wanted).length
  const others = (['done', 'left', 'dropped'] as const).flatMap((state) =>
    count(state) > 0 ? [`${count(state)} ${state}`] : [],
  )
  const live = receivers.filter(({ state }) => state === 'live')
  if (live.length === 0) return others
  const slowest = live.reduce((least, receiver) => (receiver.settledCount < least.settledCount ? receiver : least))
  const place = `slowest ${shorten(slowest.name, NAME_COLUMNS)} at ${formatShare(slowest.settledCount, sliceCount)}`
  return [[formatCount(live.length, 'receiver'), ...others].join(', '), place]
}

const meanLoss = (receivers: Receivers): number =>
  receivers.length === 0 ? 0 : receivers.reduce((sum, { lossRatio }) => sum + lossRatio, 0) / receivers.length

/** What people see of the outcome at the sender. */
export function sendOutcome(result: SendResult, isVerbose: boolean): Outcome {
  const { imageName, imageBytes, dataBytes, holeBytes, frameBytes, transferMs, stats, receivers } = result
  const complete = receivers.filter(({ state }) => state === 'done').length
  const failed = receivers.filter(({ state }) => state !== 'done')
  const rate = transferMs > 0 ? ` at ${formatBitrate((stats.wireBytes * 8000) / transferMs)}` : ''
  const holes = holeBytes > 0 ? `${formatBytes(holeBytes)} of holes and zeros not sent` : 'no holes'
  const unreadBytes = imageBytes - dataBytes - holeBytes
  const savedBytes = dataBytes - frameBytes
  const rows: [string, string][] = [
    ['image', formatBytes(imageBytes)],
    ['data', `${formatBytes(dataBytes)}, ${holes}${unreadBytes > 0 ? `; ${formatBytes(unreadBytes)} not read` : ''}`],
    [
      'compressed',
      `${formatBytes(frameBytes)}; ${savedBytes > 0 ? formatShare(savedBytes, dataBytes) : 'nothing'} saved`,
    ],
    ['on the wire', `${formatBytes(stats.wireBytes)} in ${formatCount(stats.packets, 'packet')}${rate}`],
    ['repairs', repairText(stats)],
    ['receivers', `${complete} complete${failed.length > 0 ? `, ${failed.length} not` : ''}`],
    ...failed
      .slice(0, NAMED_RECEIVERS)
      .map(({ name, address, state, reason }): [string, string] => ['', `${name} (${address}) ${reason || state}`]),
    ...(failed.length > NAMED_RECEIVERS
      ? [['', `and ${failed.length - NAMED_RECEIVERS} more`] as [string, string]]
      : []),
    ...(isVerbose ? verboseRows(result) : []),
  ]
  const head = `${imageName}: sent to ${formatCount(complete, 'receiver')} in ${formatTime(transferMs)}`
  return { raw: result, summary: [head, ...formatTable(rows)] }
}

function repairText({ sourceSymbols, proactiveSymbols, paritySymbols, resentSymbols }: SendResult['stats']): string {
  const parts = [
    [paritySymbols, 'by parity'],
    [resentSymbols, 'by data sent again'],
    [proactiveSymbols, 'by parity sent beforehand'],
  ] as const
  const used = parts.flatMap(([count, text]) => (count > 0 ? [`${formatShare(count, sourceSymbols)} ${text}`] : []))
  return used.length === 0 ? 'none needed' : used.join(', ')
}

function verboseRows({ imageId, sessionId, rootDigest, socket, stats, sliceCount }: SendResult): [string, string][] {
  return [
    ['image id', imageId],
    ['session', sessionId],
    ['root digest', rootDigest],
    ['slices', `${sliceCount}, ${stats.slicesDeferred} deferred, ${stats.slicesSpared} spared`],
    [
      'feedback',
      `${formatCount(stats.nacks, 'NACK')}, ${stats.malformedPackets} malformed, ${stats.foreignPackets} foreign, ${stats.forgedPackets} forged`,
    ],
    ['round trip', formatTime(stats.grttUs / 1000)],
    ['offload', socket.offload ? 'yes' : (socket.offloadNote ?? 'no')],
    ['messages', socket.batches ? 'many in a system call' : 'one in a system call'],
    ['send buffer', formatBytes(socket.sendBufferBytes)],
  ]
}
