import { formatEnvironment, type Environment } from '../environment.ts'
import { shown, table } from '../figures.ts'
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

Written by \`${environment.command}\`. ${receivers} receivers, ${mib} MiB of random data, MTU 1500, whole runs, ${rounds} of each case: median [least–most].

${formatEnvironment(environment)}

${table(['Scenario', 'Ratio', 'Measured', 'At least', ''], rows)}

${outcomes.map(formatRuns).join('\n\n')}
`
}

function formatRuns({ scenario, cases }: Outcome): string {
  const rows = cases.map(({ capBitsPerSec, runs, failures }) => [
    capBitsPerSec === undefined ? 'none' : megabits(capBitsPerSec),
    failures.length === 0 ? String(runs.length) : `${runs.length} and ${failures.length} failed`,
    shown(timesOf(runs), (ms) => (ms / 1000).toFixed(2)),
    shown(spreadOf(runs.map(({ sentRatio }) => sentRatio)), (ratio) => ratio.toFixed(3)),
    shown(spreadOf(runs.map(({ socketDropCount }) => socketDropCount)), String),
    ...(scenario.sharedBitsPerSec === undefined ? [] : [shown(tcpRatesOf(runs), (rate) => (rate / 1e6).toFixed(0))]),
  ])
  const head = ['Cap', 'Runs', 'Whole run, s', 'Packets sent / needed', 'Socket drops']
  if (scenario.sharedBitsPerSec !== undefined) head.push('TCP, Mbit/s')
  return `## ${scenario.title}\n\n${table(head, rows)}`
}

const timesOf = (runs: readonly Run[]): Spread => spreadOf(runs.map(({ wholeRunMs }) => wholeRunMs))

const tcpRatesOf = (runs: readonly Run[]): Spread => spreadOf(runs.map(({ tcpBitsPerSec = NaN }) => tcpBitsPerSec))

const megabits = (bitsPerSec: number | undefined): string =>
  bitsPerSec === undefined ? '–' : `${bitsPerSec / 1e6} Mbit/s`
