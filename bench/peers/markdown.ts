import { formatEnvironment } from '../environment.ts'
import { shown, table } from '../figures.ts'
import type { Findings, StartSummary } from './findings.ts'
import { imageName } from './images.ts'
import type { Report } from './report.ts'
import { describeScenario, isSameCase, OURS } from './scenario.ts'
import type { CaseSummary } from './summary.ts'
import type { Unit, Verdict } from './verdict.ts'

const MIB = 1024 ** 2

/** Writes the report for people. */
export function formatMarkdown({ name, roundCount, environment, images, summaries, start, verdicts }: Report): string {
  const failures = [
    ...summaries.flatMap((summary) =>
      summary.failures.map((text) => `### ${summary.program}, ${describeScenario(summary.scenario)}\n\n${fence(text)}`),
    ),
    ...(start?.failures ?? []).map((text) => `### Start of our commands\n\n${fence(text)}`),
  ]
  return [
    '# Skilfish and its peers in the network lab',
    `Written by \`${environment.command}\`. Hosts are network namespaces on one machine, joined by a bridge that splits super-packets ` +
      'as a wire would; images and copies are in memory. Programs take turns, round by round. A cell holds the median, with the least ' +
      'and the most in brackets. Every copy was compared with its source.',
    [formatEnvironment(environment), `- Rounds: ${roundCount}`, ...formatImages(images)].join('\n'),
    '## Bars',
    table(
      ['What', 'Measured', 'Wanted', 'Met'],
      verdicts.map((verdict) => [
        verdict.label,
        formatMeasured(verdict),
        formatWanted(verdict),
        verdict.isMet === undefined ? '' : verdict.isMet ? 'yes' : '**no**',
      ]),
    ),
    '## Figures',
    `![Times of whole runs](${name}.svg)`,
    table(
      FIGURES,
      summaries.map((summary) => formatSummary(summary, { images, summaries })),
    ),
    'Time is from the start of the first process to the exit of the last (uftpd, which never exits, is not waited for). The ratio is ' +
      'that time over that of skilfish in the same scenario. Bytes are those of Ethernet frames at the interface of the ' +
      "sender's host. Processor time is user and system, a receiver's the mean of all, for each GiB that is stored of the image, holes " +
      "not counted; here, delivering a packet to the receivers' sockets is the sender's system time. Memory is the resident peak, a " +
      "receiver's that of the largest. `raw-limit` is a stream over the same sockets with no protocol and no files, at the highest " +
      'rate at which nothing was lost.',
    ...(start ? ['## Start of our commands', formatStart(start)] : []),
    ...(failures.length === 0
      ? []
      : [
          '## Runs that failed',
          'A peer is given further tries in the same round; ours is not. None of these runs is in the figures.',
          ...failures,
        ]),
  ]
    .join('\n\n')
    .concat('\n')
}

const FIGURES = [
  ...['Program', 'Scenario', 'Runs', 'Whole run, s', 'Ratio', 'Transfer alone, s', 'Sent, MiB', 'Feedback, KiB'],
  ...['Sender CPU, s/GiB', 'Receiver CPU, s/GiB', 'Sender memory, MiB', 'Receiver memory, MiB', 'Socket drops'],
]

const formatImages = (images: Findings['images']): string[] =>
  [...images].map(
    ([name, { sizeBytes, allocatedBytes }]) =>
      `- Image \`${name}\`: ${mebibytes(sizeBytes)} MiB, of which ${mebibytes(allocatedBytes)} MiB are stored`,
  )

function formatSummary(summary: CaseSummary, { images, summaries }: Pick<Findings, 'images' | 'summaries'>): string[] {
  const { program, scenario, runCount, failures } = summary
  const runs = failures.length === 0 ? String(runCount) : `${runCount} and ${failures.length} failed`
  const ours = summaries.find((other) => isSameCase(other, { program: OURS, scenario }))
  const ratio = summary.wholeRunMs.median / (ours?.wholeRunMs.median ?? NaN)
  const gib = (images.get(imageName(scenario))?.allocatedBytes ?? NaN) / 1024 ** 3
  const seconds = (ms: number): string => (ms / 1000).toFixed(2)
  const secondsPerGib = (value: number): string => (value / gib).toFixed(2)
  return [
    ...[program, describeScenario(scenario), runs],
    shown(summary.wholeRunMs, seconds),
    Number.isNaN(ratio) ? '–' : ratio.toFixed(2),
    shown(summary.transferMs, seconds),
    shown(summary.sentBytes, (bytes) => (bytes / MIB).toFixed(1)),
    shown(summary.feedbackBytes, (bytes) => (bytes / 1024).toFixed(0)),
    shown(summary.senderSeconds, secondsPerGib),
    shown(summary.receiverSeconds, secondsPerGib),
    shown(summary.senderPeakBytes, mebibytes),
    shown(summary.receiverPeakBytes, mebibytes),
    shown(summary.socketDropCount, String),
  ]
}

function formatStart({ receiverReadyMs, firstDataMs, nodeMs }: StartSummary): string {
  const ms = (value: number): string => value.toFixed(0)
  return table(
    ['From', 'Until', 'ms'],
    [
      ['the start of `skilfish-recv`', 'its host has joined the group', shown(receiverReadyMs, ms)],
      ['the start of `skilfish-send`, receivers waiting', 'its first data packet at a host', shown(firstDataMs, ms)],
      ['the start of `node -e 0`, for comparison', 'its end', shown(nodeMs, ms)],
    ],
  )
}

const formatMeasured = ({ measured, unit }: Verdict): string =>
  Number.isNaN(measured) ? 'not measured' : `${formatNumber(measured, unit)} ${unit}`

function formatWanted({ bound, unit }: Verdict): string {
  if (!bound) return ''
  return 'atLeast' in bound ? `at least ${bound.atLeast} ${unit}` : `at most ${bound.atMost} ${unit}`
}

const formatNumber = (value: number, unit: Unit): string => (unit === '×' ? value.toFixed(3) : value.toFixed(0))

const mebibytes = (bytes: number): string => (bytes / MIB).toFixed(0)

/** Text of another program, whatever it holds. */
const fence = (text: string): string => `~~~~text\n${text.trim()}\n~~~~`
