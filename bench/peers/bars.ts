import { bytesLabel, bytesRatio, MOST_BYTES, MOST_MEMORY_MIB, speedLabel, speedRatio } from './ratios.ts'
import { findCase, type Findings } from './findings.ts'
import {
  BASE,
  describeScenario,
  OURS,
  OURS_WITHOUT_OFFLOAD,
  RAW_LIMIT,
  type Case,
  type ProgramName,
  type Scenario,
} from './scenario.ts'
import type { CaseSummary } from './summary.ts'
import { judge, type Bound, type Unit, type Verdict } from './verdict.ts'

/** Something that the project asks of itself. */
export interface Bar {
  /** Different from that of every other bar. */
  readonly label: string
  readonly unit: Unit
  readonly bound: Bound
  /** The cases that have to run for it. */
  readonly cases: readonly Case[]
  /** Whether the start of our commands has to be measured for it. */
  readonly needsStart: boolean
  /** NaN when what it needs has not been measured. */
  readonly measure: (findings: Findings) => number
}

const MIB = 1024 ** 2

const CAP_40_MB = 320e6
const CAP_100_MBIT = 100e6

const one: Scenario = { ...BASE, receiverCount: 1 }
const lossy: Scenario = { ...BASE, lossPercent: 1 }
const veryLossy: Scenario = { ...BASE, lossPercent: 5 }
const rootfs: Scenario = { ...BASE, data: 'rootfs', imageMib: 4096 }
const terabyte: Scenario = { ...BASE, data: 'holes', imageMib: MIB }
const slow: Scenario = { ...BASE, imageMib: 128, maxBitsPerSec: CAP_100_MBIT }

/** Whatever `npm run bench:peers` is there to find out, in the order of the report. */
export const BARS: readonly Bar[] = [
  speedBar(one, 'udpcast', 2),
  transferBar(one, 'uftp', 1),
  speedBar(BASE, 'udpcast', 4),
  speedBar(BASE, 'udpcast-eager', 1),
  speedBar(BASE, 'uftp', 3),
  speedBar(BASE, 'uftp-named', 1),
  speedBar(BASE, RAW_LIMIT, 0.6),
  speedBar(lossy, 'udpcast', 3.5),
  bytesBar(lossy),
  speedBar(veryLossy, 'udpcast', 3),
  bytesBar(veryLossy),
  speedBar(rootfs, 'udpcast', 8),
  speedBar(rootfs, 'udpcast-lzop', 3),
  ...[one, BASE].flatMap((scenario) => [
    processorBar(scenario),
    processorBar({ ...scenario, maxBitsPerSec: CAP_40_MB }),
  ]),
  memoryBar(BASE, 'receiver'),
  memoryBar(BASE, 'sender'),
  memoryBar(terabyte, 'receiver'),
  memoryBar(terabyte, 'sender'),
  growthBar({ ...slow, receiverCount: 1 }, { ...slow, receiverCount: 16 }, 1.05),
  speedBar(BASE, 'udpcast', 1.3, OURS_WITHOUT_OFFLOAD),
  startBar('from the start of skilfish-send to its first data packet', 'firstDataMs', 300),
  startBar('from the start of skilfish-recv until it is ready', 'receiverReadyMs', 200),
]

/** Holds the bars of which something was planned against what was measured. */
export const judgeBars = (bars: readonly Bar[], findings: Findings): Verdict[] =>
  bars.map(({ label, unit, bound, measure }) => judge(label, measure(findings), unit, bound))

function speedBar(scenario: Scenario, other: ProgramName, atLeast: number, program: ProgramName = OURS): Bar {
  return ratioBar(
    speedLabel(program, other, scenario),
    { program, scenario },
    { program: other, scenario },
    { atLeast },
    speedRatio,
  )
}

function transferBar(scenario: Scenario, peer: ProgramName, atLeast: number): Bar {
  const label = `${OURS}, times as fast as the transfer phase alone of ${peer}: ${describeScenario(scenario)}`
  const ratio = (ours: CaseSummary, other: CaseSummary): number => other.transferMs.median / ours.wholeRunMs.median
  return ratioBar(label, { program: OURS, scenario }, { program: peer, scenario }, { atLeast }, ratio)
}

function bytesBar(scenario: Scenario): Bar {
  const lossless = { program: OURS, scenario: { ...scenario, lossPercent: 0 } } as const
  const atMost = MOST_BYTES[scenario.lossPercent]!
  return ratioBar(bytesLabel(scenario), { program: OURS, scenario }, lossless, { atMost }, bytesRatio)
}

function processorBar(scenario: Scenario): Bar {
  const label = `a receiver’s processor time, over that of udp-receiver: ${describeScenario(scenario)}`
  const ratio = (ours: CaseSummary, other: CaseSummary): number =>
    ours.receiverSeconds.median / other.receiverSeconds.median
  return ratioBar(label, { program: OURS, scenario }, { program: 'udpcast', scenario }, { atMost: 1 }, ratio)
}

function growthBar(few: Scenario, many: Scenario, atMost: number): Bar {
  const label = `time, over that with ${few.receiverCount} receiver: ${describeScenario(many)}`
  const ratio = (less: CaseSummary, more: CaseSummary): number => more.wholeRunMs.median / less.wholeRunMs.median
  return ratioBar(label, { program: OURS, scenario: few }, { program: OURS, scenario: many }, { atMost }, ratio)
}

function ratioBar(
  label: string,
  one: Case,
  other: Case,
  bound: Bound,
  ratio: (one: CaseSummary, other: CaseSummary) => number,
): Bar {
  const measure = ({ summaries }: Findings): number => {
    const [first, second] = [findCase(summaries, one), findCase(summaries, other)]
    return first && second ? ratio(first, second) : NaN
  }
  return { label, unit: '×', bound, cases: [one, other], needsStart: false, measure }
}

function memoryBar(scenario: Scenario, end: 'receiver' | 'sender'): Bar {
  const own = { program: OURS, scenario } as const
  const peak = end === 'receiver' ? 'receiverPeakBytes' : 'senderPeakBytes'
  return {
    label: `peak memory of a ${end}: ${describeScenario(scenario)}`,
    unit: 'MiB',
    bound: { atMost: MOST_MEMORY_MIB[end] },
    cases: [own],
    needsStart: false,
    measure: ({ summaries }) => (findCase(summaries, own)?.[peak].max ?? NaN) / MIB,
  }
}

function startBar(what: string, figure: 'firstDataMs' | 'receiverReadyMs', atMost: number): Bar {
  const measure = ({ start }: Findings): number => start?.[figure].median ?? NaN
  return { label: `time ${what}`, unit: 'ms', bound: { atMost }, cases: [], needsStart: true, measure }
}
