import type { Environment } from '../peers/environment.ts'
import { spreadOf, type Spread } from '../peers/statistics.ts'
import type { Run } from './run-scenario.ts'
import type { Scenario } from './scenario.ts'

/** The runs of a scenario: without a cap first, then with each. */
export interface Measured {
  readonly scenario: Scenario
  readonly cases: readonly {
    readonly capBitsPerSec: number | undefined
    readonly runs: Run[]
    /** What the runs that failed said. */
    readonly failures: string[]
  }[]
}

export interface Outcome extends Measured {
  /** Best median time with a cap / median time without; for a shared link the TCP flow's median share of it. NaN: not known. */
  readonly ratio: number
  /** The cap with the best median. */
  readonly bestCapBitsPerSec: number | undefined
  /** False too when a run failed. */
  readonly isMet: boolean
}

export function judge(measured: Measured): Outcome {
  const { scenario, cases } = measured
  const times = cases.map(({ runs }) => timesOf(runs).median)
  const best = Math.min(...times.slice(1))
  const { sharedBitsPerSec } = scenario
  const ratio = sharedBitsPerSec === undefined ? best / times[0]! : tcpRatesOf(cases[0]!.runs).median / sharedBitsPerSec
  const bestCapBitsPerSec = cases.slice(1).find((_, index) => times[index + 1] === best)?.capBitsPerSec
  const hasFailed = cases.some(({ failures }) => failures.length > 0)
  return { ...measured, ratio, bestCapBitsPerSec, isMet: !hasFailed && ratio >= scenario.bar }
}

/** The report in Markdown. */
export function formatReport(
  environment: Environment,
  { rounds, receivers, mib }: { readonly rounds: number; readonly receivers: number; readonly mib: number },
  outcomes: readonly Outcome[],
): string {
  const { date, commit, processor, processorCount, kernel, loadBefore, versions, command } = environment
  const rows = outcomes.map(({ scenario, ratio, bestCapBitsPerSec, isMet }) => [
    scenario.title,
    scenario.sharedBitsPerSec === undefined
      ? `time at the best cap (${megabits(bestCapBitsPerSec)}) / time without a cap`
      : "the TCP flow's share of the link",
    ratio.toFixed(2),
    String(scenario.bar),
    isMet ? 'met' : 'missed',
  ])
  return `# Adaptive rate

Written by \`${command}\`. ${receivers} receivers, ${mib} MiB of random data, MTU 1500, whole runs, ${rounds} of each case: median [least–most].

- Date: ${date}
- Commit: ${commit}
- Machine: ${processorCount} × ${processor}, Linux ${kernel}, load before the first run ${loadBefore.toFixed(1)}
- Versions: skilfish ${versions['skilfish'] ?? '?'}, node ${versions['node'] ?? '?'}

${table(['Scenario', 'Ratio', 'Measured', 'At least', ''], rows)}

${outcomes.map(formatRuns).join('\n\n')}
`
}

function formatRuns({ scenario, cases }: Outcome): string {
  const rows = cases.map(({ capBitsPerSec, runs, failures }) => [
    capBitsPerSec === undefined ? 'none' : megabits(capBitsPerSec),
    failures.length === 0 ? String(runs.length) : `${runs.length} and ${failures.length} failed`,
    format(timesOf(runs), (ms) => (ms / 1000).toFixed(2)),
    format(spreadOf(runs.map(({ sentRatio }) => sentRatio)), (ratio) => ratio.toFixed(3)),
    format(spreadOf(runs.map(({ socketDropCount }) => socketDropCount)), String),
    ...(scenario.sharedBitsPerSec === undefined ? [] : [format(tcpRatesOf(runs), (rate) => (rate / 1e6).toFixed(0))]),
  ])
  const head = ['Cap', 'Runs', 'Whole run, s', 'Packets sent / needed', 'Socket drops']
  if (scenario.sharedBitsPerSec !== undefined) head.push('TCP, Mbit/s')
  return `## ${scenario.title}\n\n${table(head, rows)}`
}

const timesOf = (runs: readonly Run[]): Spread => spreadOf(runs.map(({ wholeRunMs }) => wholeRunMs))

const tcpRatesOf = (runs: readonly Run[]): Spread => spreadOf(runs.map(({ tcpBitsPerSec = NaN }) => tcpBitsPerSec))

const megabits = (bitsPerSec: number | undefined): string =>
  bitsPerSec === undefined ? '–' : `${bitsPerSec / 1e6} Mbit/s`

function format({ median, min, max }: Spread, write: (value: number) => string): string {
  if (Number.isNaN(median)) return '–'
  const [middle, least, most] = [median, min, max].map(write)
  return least === most ? middle! : `${middle!} [${least!}–${most!}]`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
