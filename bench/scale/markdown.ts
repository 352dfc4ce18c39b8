import { formatEnvironment, type StudyEnvironment } from '../environment.ts'
import { table } from '../figures.ts'
import type { Bar } from './bars.ts'
import type { Scale } from './run-case.ts'
import type { CaseSummary } from './summary.ts'

/** Everything that one run of the study found; what the JSON file holds. */
export interface Report {
  readonly environment: StudyEnvironment
  readonly scale: Scale
  readonly summaries: readonly CaseSummary[]
  readonly bars: readonly Bar[]
  /** What went wrong, by case. */
  readonly failures: readonly { readonly label: string; readonly text: string }[]
}

/** Writes the report for people. */
export function formatMarkdown({ environment, scale, summaries, bars, failures }: Report): string {
  const { sliceCount, bitsPerSec } = scale
  return [
    '# Groups of up to 10,000 receivers, in virtual time',
    `Written by \`${environment.command}\`. The machines of the real programs, in a simulated network: ${sliceCount} slices of 256 KiB of ` +
      `random data at ${(bitsPerSec / 1e6).toLocaleString('en')} Mbit/s, 0.2 ms each way, the same loss on the way to a receiver and back. ` +
      'All receivers wait for the sender from before, and it starts when it likes. Means over the runs of a case.',
    formatEnvironment(environment),
    '![What a sender hears and sends, by the number of its receivers](scale.svg)',
    '## What reaches the sender, and what it sends',
    table(
      [
        ...[
          'Loss',
          'Receivers',
          'Runs',
          'Messages',
          'Per second',
          'Busiest second',
          'Joins',
          'Reports',
          'NACKs',
          'Dones',
        ],
        ...['Extra symbols, %', 'Least possible, %', 'Ratio', 'Unasked, %', 'Extra bytes, %'],
        ...['First data, s', 'Last complete, s', 'End, s'],
      ],
      summaries.map(formatSummary),
    ),
    'Messages are all packets that reach the sender, per second over the whole session; the busiest second is the one with the most, ' +
      'wherever it begins. Extra symbols are parity and repairs over source symbols; the least possible is the expected need of the ' +
      'receiver that loses most (for the mix: found by trying, on losses of the same kind). Extra bytes count everything sent, headers ' +
      'and control packets included, over the source packets. Times are from the start of the sender: to the first data packet, to the ' +
      'moment when the last receiver has the whole image verified, and to when the sender knows of everybody.',
    '## Plain resending, as UDPcast does it',
    'Computed on losses of the same kind: each lost packet itself is sent again until nobody lacks it, and every receiver that is not ' +
      'ready answers each round. The time is that of sending alone, at the same rate.',
    table(
      ['Loss', 'Receivers', 'Extra packets, %', 'Messages', 'Messages per second', 'Sending, s', 'Ours, s'],
      summaries.map(formatResend),
    ),
    '## Bars',
    table(
      ['Ratio', 'Value', 'At most', 'Met'],
      bars.map(({ label, measured, atMost, isMet }) => [
        ...[label, measured.toFixed(2), atMost.toFixed(2)],
        isMet ? 'yes' : '**no**',
      ]),
    ),
    ...(failures.length === 0 ? [] : ['## Failures', ...failures.map(({ label, text }) => `- ${label}: ${text}`)]),
  ]
    .join('\n\n')
    .concat('\n')
}

function formatSummary(summary: CaseSummary): string[] {
  const { messageCounts, extraRatio, idealExtraRatio } = summary
  return [
    ...[summary.lossLabel, whole(summary.receiverCount), whole(summary.runCount)],
    ...[whole(summary.messageCount), whole(summary.messagesPerSec), whole(summary.busiestSecondCount)],
    ...['join', 'report', 'nack', 'done'].map((kind) => whole(messageCounts[kind] ?? 0)),
    ...[percent(extraRatio), percent(idealExtraRatio), ratio(extraRatio, idealExtraRatio)],
    ...[percent(summary.proactiveRatio), percent(summary.extraBytesRatio)],
    ...[summary.firstDataSec, summary.lastCompleteSec, summary.endSec].map(seconds),
  ]
}

function formatResend({ lossLabel, receiverCount, resend, firstDataSec, lastCompleteSec }: CaseSummary): string[] {
  return [
    ...[lossLabel, whole(receiverCount), percent(resend.extraRatio)],
    ...[whole(resend.messageCount), whole(resend.messagesPerSec), seconds(resend.sendingSec)],
    seconds(lastCompleteSec - firstDataSec),
  ]
}

const whole = (value: number): string => Math.round(value).toLocaleString('en')
const percent = (share: number): string => (100 * share).toFixed(2)
const seconds = (value: number): string => value.toFixed(2)
const ratio = (value: number, of: number): string => (of === 0 ? '–' : (value / of).toFixed(2))
