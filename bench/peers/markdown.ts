import type { BenchImage } from './images.ts'
import type { Comparison } from './rules.ts'
import type { Environment } from './environment.ts'
import { describeScenario, type DataName } from './scenario.ts'
import type { Spread } from './statistics.ts'
import type { CaseSummary } from './summary.ts'

const MIB = 1024 ** 2

/** Everything that one run of the benchmark found; what the JSON file holds. */
export interface Report {
  readonly environment: Environment
  readonly images: ReadonlyMap<DataName, BenchImage>
  readonly summaries: readonly CaseSummary[]
  readonly comparisons: readonly Comparison[]
}

/** Writes the report for people. */
export function formatMarkdown({ environment, images, summaries, comparisons }: Report): string {
  const failures = summaries.flatMap((summary) =>
    summary.failures.map((text) => `### ${summary.program}, ${describeScenario(summary.scenario)}\n\n${fence(text)}`),
  )
  return [
    '# Transfers in the network lab',
    `Written by \`${environment.command}\`. Hosts are network namespaces on one machine, joined by a bridge that splits super-packets ` +
      'as a wire would; images and copies are in memory. Programs take turns, round by round. A cell holds the median, with the least ' +
      'and the most in brackets. Every copy was compared with its source.',
    formatEnvironment(environment, images),
    '## Figures',
    table(
      [
        ...[
          'Program',
          'Scenario',
          'Runs',
          'Whole run, s',
          'Sent, MiB',
          'Feedback, KiB',
          'Sender CPU, s',
          'Receiver CPU, s',
        ],
        ...['Sender memory, MiB', 'Receiver memory, MiB', 'Socket drops'],
      ],
      summaries.map(formatSummary),
    ),
    'Time is from the start of the first process to the exit of the last. Bytes are those of Ethernet frames at the interface of the ' +
      "sender's host. Processor time is user and system, a receiver's the mean of all; here, delivering a packet to the receivers' " +
      "sockets is the sender's system time. Memory is the resident peak, a receiver's that of the largest.",
    '## Comparisons',
    table(
      ['Ratio', 'Value', 'At most', 'Met'],
      comparisons.map(({ label, value, atMost, isMet }) => [
        label,
        value.toFixed(3),
        atMost?.toFixed(2) ?? '',
        isMet === undefined ? '' : isMet ? 'yes' : '**no**',
      ]),
    ),
    ...(failures.length === 0 ? [] : ['## Failures', ...failures]),
  ]
    .join('\n\n')
    .concat('\n')
}

function formatEnvironment(environment: Environment, images: ReadonlyMap<DataName, BenchImage>): string {
  const { date, commit, kernel, processor, processorCount, memoryBytes, loadBefore, versions } = environment
  return [
    `- Date: ${date}`,
    `- Commit: ${commit}`,
    `- Machine: ${processorCount} × ${processor}, ${(memoryBytes / 1024 ** 3).toFixed(0)} GiB, Linux ${kernel}, load before the first run ${loadBefore.toFixed(1)}`,
    `- Versions: ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}`,
    ...[...images].map(
      ([name, { sizeBytes, allocatedBytes }]) =>
        `- Image \`${name}\`: ${mebibytes(sizeBytes)} MiB, of which ${mebibytes(allocatedBytes)} MiB are stored`,
    ),
  ].join('\n')
}

function formatSummary(summary: CaseSummary): string[] {
  const { program, scenario, runCount, failures } = summary
  const runs = failures.length === 0 ? String(runCount) : `${runCount} and ${failures.length} failed`
  const mib = (bytes: number): string => (bytes / MIB).toFixed(0)
  return [
    ...[program, describeScenario(scenario), runs],
    formatSpread(summary.wholeRunMs, (ms) => (ms / 1000).toFixed(2)),
    formatSpread(summary.sentBytes, (bytes) => (bytes / MIB).toFixed(1)),
    formatSpread(summary.feedbackBytes, (bytes) => (bytes / 1024).toFixed(0)),
    formatSpread(summary.senderSeconds, (seconds) => seconds.toFixed(2)),
    formatSpread(summary.receiverSeconds, (seconds) => seconds.toFixed(2)),
    formatSpread(summary.senderPeakBytes, mib),
    formatSpread(summary.receiverPeakBytes, mib),
    formatSpread(summary.socketDropCount, String),
  ]
}

function formatSpread({ median, min, max }: Spread, format: (value: number) => string): string {
  if (Number.isNaN(median)) return '–'
  const [middle, least, most] = [median, min, max].map(format)
  return least === most ? middle! : `${middle!} [${least!}–${most!}]`
}

const mebibytes = (bytes: number): string => (bytes / MIB).toFixed(0)

/** Text of another program, whatever it holds. */
const fence = (text: string): string => `~~~~text\n${text.trim()}\n~~~~`

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
