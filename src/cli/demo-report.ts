import { formatBitrate } from '../ratelimit/index.ts'
import type { ReceiveResult } from '../receiver/index.ts'
import type { SendResult } from '../sender/index.ts'
import { formatBytes, formatCount, formatShare, formatTable, formatTime } from './quantities.ts'

/** One of the demo's copies. */
export interface DemoCopy {
  readonly label: string
  readonly result: ReceiveResult
  readonly isIdentical: boolean
  /** What it takes on the disk: holes take nothing. */
  readonly storedBytes: number
}

/** The demo's table. */
export function demoReport(sent: SendResult, copies: readonly DemoCopy[]): string[] {
  const { imageBytes, dataBytes, holeBytes, frameBytes, transferMs, stats } = sent
  const repairs = stats.paritySymbols + stats.proactiveSymbols
  return formatTable([
    ['image', formatBytes(imageBytes)],
    ['skipped as holes', `${formatBytes(holeBytes)} (${formatShare(holeBytes, imageBytes)})`],
    ['data', formatBytes(dataBytes)],
    ['saved by LZO', `${formatBytes(dataBytes - frameBytes)} (${formatShare(dataBytes - frameBytes, dataBytes)})`],
    ['on the wire', `${formatBytes(stats.wireBytes)} in ${formatCount(stats.packets, 'packet')}, once for all`],
    ['repaired by parity', `${formatCount(repairs, 'packet')} (${formatShare(repairs, stats.sourceSymbols)})`],
    ['sent again', formatCount(stats.resentSymbols, 'packet')],
    [
      'time',
      `${formatTime(transferMs)} at ${formatBitrate(transferMs > 0 ? (stats.wireBytes * 8000) / transferMs : 0)}`,
    ],
    ...copies.map((copy): [string, string] => [copy.label, copyText(copy)]),
  ])
}

function copyText({ result, isIdentical, storedBytes }: DemoCopy): string {
  const { lostPackets, packets } = result.stats
  const verdict = isIdentical ? 'identical' : 'DIFFERS'
  const loss = `lost ${formatShare(lostPackets, packets + lostPackets)} of its packets`
  return `${verdict}; ${loss}; takes ${formatBytes(storedBytes)} on disk`
}
