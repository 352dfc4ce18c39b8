import { BARS, type Bar } from './bars.ts'
import { storedMib } from './images.ts'
import {
  BASE,
  describeScenario,
  IMAGE_MIB,
  isOurs,
  isSameCase,
  OURS,
  OURS_WITHOUT_OFFLOAD,
  RAW_LIMIT,
  type Case,
  type ProgramName,
  type Scenario,
} from './scenario.ts'

/** What is going to be measured. */
export interface Plan {
  /** Part of the names of the files that are written. */
  readonly name: string
  /** In the order in which each round runs them: programs in the same scenario in turn. */
  readonly cases: readonly Case[]
  /** The bars that can be told from these cases. */
  readonly bars: readonly Bar[]
  /** Whether the start of our commands is measured, once a round. */
  readonly measuresStart: boolean
}

/** What the bars need and no more. */
export function planBars(bars: readonly Bar[] = BARS): Plan {
  const name = bars.length === BARS.length ? 'peers' : 'peers-some-bars'
  return makePlan(
    name,
    bars.flatMap(({ cases }) => cases),
    bars.some(({ needsStart }) => needsStart),
  )
}

/** Each axis by itself, around {@link BASE}. */
export function planAxes(): Plan {
  const everybody: readonly ProgramName[] = [OURS, 'udpcast', 'uftp', RAW_LIMIT]
  const lossTakers: readonly ProgramName[] = [OURS, 'udpcast', 'uftp']
  const holeTakers: readonly ProgramName[] = [OURS, 'udpcast', 'udpcast-lzop']
  const along = (programs: readonly ProgramName[], points: readonly Partial<Scenario>[]): Case[] =>
    points.flatMap((point) => programs.map((program) => ({ program, scenario: { ...BASE, ...point } })))
  return makePlan(
    'peers-axes',
    [
      ...along(
        everybody,
        [1, 2, 4, 8, 16].map((receiverCount) => ({ receiverCount })),
      ),
      ...along([OURS_WITHOUT_OFFLOAD], [BASE]),
      ...along(lossTakers, [{ lossPercent: 1 }, { lossPercent: 5 }]),
      ...along(holeTakers, [
        { data: 'rootfs', imageMib: IMAGE_MIB.rootfs },
        { data: 'holes', imageMib: IMAGE_MIB.holes },
      ]),
      ...along(everybody, [{ mtuBytes: 9000 }]),
      ...along(lossTakers, [{ maxBitsPerSec: 320e6 }]),
    ],
    false,
  )
}

/** Some programs in one scenario. */
export const planPoint = (programs: readonly ProgramName[], scenario: Scenario): Plan =>
  makePlan(
    'peers-point',
    programs.map((program) => ({ program, scenario })),
    false,
  )

function makePlan(name: string, wanted: readonly Case[], measuresStart: boolean): Plan {
  const unique = wanted.filter((plan, index) => wanted.findIndex((other) => isSameCase(plan, other)) === index)
  const scenarios = [...new Set(unique.map(({ scenario }) => describeScenario(scenario)))]
  const cases = scenarios.flatMap((text) => unique.filter(({ scenario }) => describeScenario(scenario) === text))
  const bars = BARS.filter((bar) =>
    bar.needsStart ? measuresStart : bar.cases.every((needed) => cases.some((planned) => isSameCase(needed, planned))),
  )
  return { name, cases, bars, measuresStart }
}

/** For starting the programs, their meeting, and reading the counters. */
const OVERHEAD_SECONDS = 4

/** Seconds for a MiB on the wire: by itself, and for each receiver. From runs on two processors; only estimates use them. */
const SECONDS_PER_MIB = { alone: 0.003, receiver: 0.0045, ourReceiver: 0.003 }

/** What comparing a copy with its source takes. */
const COMPARE_SECONDS_PER_MIB = 0.0008

/** Tries of a search for the raw limit, about; transfers of the others. */
const RAW_TRIES = 5

/** What lzop needs for an image that is mostly zeros, as a share of what sending it as it is takes. */
const LZOP_SHARE = 0.4

/** Rough: how long a run of a case takes, in seconds, with the comparison of the copies. */
export function estimateSeconds({ program, scenario }: Case): number {
  const { imageMib, receiverCount, maxBitsPerSec = Infinity } = scenario
  const stored = storedMib(scenario)
  const wireMib = isOurs(program)
    ? stored
    : program === 'udpcast-lzop'
      ? Math.max(stored, imageMib * LZOP_SHARE)
      : imageMib
  const { alone, receiver, ourReceiver } = SECONDS_PER_MIB
  const perMib = alone + receiverCount * (isOurs(program) || program === RAW_LIMIT ? ourReceiver : receiver)
  const transferSeconds = OVERHEAD_SECONDS + wireMib * Math.max(perMib, (8 * 1024 ** 2) / maxBitsPerSec)
  if (program === RAW_LIMIT) return transferSeconds * RAW_TRIES
  return transferSeconds + writtenMib({ program, scenario }) * receiverCount * COMPARE_SECONDS_PER_MIB
}

/** What the images and the copies of one case at a time take of memory, in MiB, at the most. */
export function estimateMemoryMib({ cases }: Plan): number {
  const images = new Map(cases.map(({ scenario }) => [`${scenario.data} ${scenario.imageMib}`, storedMib(scenario)]))
  const copies = cases.map((plan) => writtenMib(plan) * plan.scenario.receiverCount)
  return [...images.values()].reduce((sum, mib) => sum + mib, 0) + Math.max(0, ...copies)
}

/** What a receiver stores: only ours leaves holes. */
function writtenMib({ program, scenario }: Case): number {
  if (program === RAW_LIMIT) return 0
  return isOurs(program) ? storedMib(scenario) : scenario.imageMib
}
