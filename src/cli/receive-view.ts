import { formatBitrate } from '../ratelimit/index.ts'
import type { ReceiveProgress, ReceiveResult, VerifyResult } from '../receiver/index.ts'
import type { Outcome, ProgressUpdate } from './output.ts'
import {
  formatBytes,
  formatCount,
  formatPosition,
  formatRunningTime,
  formatShare,
  formatTable,
  formatTime,
} from './quantities.ts'

/** Where the receiver's buffers are fuller than this, percent, its disk is what holds it up: worth to be seen. */
const BUSY_QUEUE_PERCENT = 50

const PHASES: Readonly<Record<ReceiveProgress['phase'], string>> = {
  waiting: 'waiting for a sender',
  receiving: 'receiving',
  flushing: 'writing out',
}

/** What people see of the progress at a receiver. */
export function receiveUpdate(progress: ReceiveProgress): ProgressUpdate {
  const { phase, elapsedMs, percent, positionBytes, imageBytes, etaMs, rateBitsPerSec, stats } = progress
  const common = { raw: progress, phase: PHASES[phase], elapsedMs }
  if (phase === 'waiting') return { ...common, percent: undefined, facts: [formatRunningTime(elapsedMs)], details: [] }
  const eta = etaMs === undefined ? [] : [`ETA ${formatTime(etaMs)}`]
  const { queuePercent } = stats
  return {
    ...{ ...common, percent },
    facts: [formatPosition(positionBytes, imageBytes), formatBitrate(rateBitsPerSec), ...eta],
    details: [
      `loss ${lossText(stats)}`,
      ...(stats.parityUsed > 0 ? [`${formatCount(stats.parityUsed, 'packet')} rebuilt`] : []),
      ...(queuePercent > BUSY_QUEUE_PERCENT ? [`buffers ${Math.round(queuePercent)} % full`] : []),
    ],
  }
}

/** What people see of the outcome at a receiver. */
export function receiveOutcome(result: ReceiveResult, target: string, isVerbose: boolean): Outcome {
  const { imageName, imageBytes, dataBytes, resumedBytes, transferMs, stats, rootDigest } = result
  const rate = transferMs > 0 ? ` at ${formatBitrate((stats.bytes * 8000) / transferMs)}` : ''
  const rows: (readonly [string, string])[] = [
    ['target', target === '-' ? 'standard output' : target],
    ['image', `${formatBytes(imageBytes)}; ${formatBytes(dataBytes)} of data, the rest is zeros`],
    ['received', `${formatBytes(stats.bytes)} in ${formatCount(stats.packets, 'packet')}${rate}`],
    ...resumedRow(resumedBytes),
    ['lost', `${lossText(stats)}; ${formatCount(stats.parityUsed, 'packet')} rebuilt from parity`],
    ['root digest', rootDigest],
    ...(result.fingerprint === undefined ? [] : ([['fingerprint', result.fingerprint]] as const)),
    ...(isVerbose ? verboseRows(result) : []),
  ]
  const head = `${imageName}: complete, verified and written in ${formatTime(transferMs)}`
  return { raw: result, summary: [head, ...formatTable(rows)] }
}

/** What people see while a target is checked. */
export function verifyUpdate(positionBytes: number, imageBytes: number, elapsedMs: number): ProgressUpdate {
  const percent = (100 * positionBytes) / imageBytes
  return {
    ...{ raw: { positionBytes, imageBytes, percent, elapsedMs }, phase: 'verifying', elapsedMs, percent },
    facts: [formatPosition(positionBytes, imageBytes)],
    details: [],
  }
}

/** What people see when a target was found to be right. */
export function verifyOutcome(result: VerifyResult, target: string, elapsedMs: number): Outcome {
  const { imageBytes, dataBytes, rootDigest } = result
  const rows = [
    ['image', `${formatBytes(imageBytes)}; ${formatBytes(dataBytes)} of data, the rest is zeros`],
    ['root digest', rootDigest],
  ] as const
  return {
    raw: { ...result, elapsedMs },
    summary: [`${target} is what was received, to the last byte (${formatTime(elapsedMs)})`, ...formatTable(rows)],
  }
}

const lossText = ({ lostPackets, packets }: ReceiveResult['stats']): string =>
  formatShare(lostPackets, packets + lostPackets)

function verboseRows({ imageId, sessionId, sliceCount, stats, socket }: ReceiveResult): [string, string][] {
  return [
    ['image id', imageId],
    ['session', sessionId],
    ['slices', `${sliceCount}, ${stats.rejectedSlices} rejected`],
    [
      'packets',
      `${stats.duplicatePackets} duplicate, ${stats.malformedPackets} malformed, ${stats.foreignPackets} foreign, ${stats.forgedPackets} forged`,
    ],
    ['buffers', `${formatCount(stats.droppedForBuffers, 'packet')} dropped for want of room`],
    ['feedback', `${formatCount(stats.nacksSent, 'NACK')} sent, ${stats.nacksSuppressed} suppressed`],
    ['offload', socket.offload ? 'yes' : (socket.offloadNote ?? 'no')],
    ['messages', socket.batches ? 'many in a system call' : 'one in a system call'],
    ['receive buffer', formatBytes(socket.recvBufferBytes)],
  ]
}

const resumedRow = (bytes: number): [string, string][] =>
  bytes > 0 ? [['resumed', `${formatBytes(bytes)} were there from before`]] : []
