// What both the bars and the rules for every scenario ask: the limits, the ratios, and their names in the report.
import { describeScenario, type ProgramName, type Scenario } from './scenario.ts'
import type { CaseSummary } from './summary.ts'

/** What may be sent under loss, over what is sent without; by loss in percent. */
export const MOST_BYTES: Readonly<Record<number, number>> = { 1: 1.035, 5: 1.12 }

/** What our processes may have resident at their peak, whatever the image. */
export const MOST_MEMORY_MIB = { receiver: 128, sender: 256 } as const

export const speedLabel = (program: ProgramName, other: ProgramName, scenario: Scenario): string =>
  `${program}, times as fast as ${other}: ${describeScenario(scenario)}`

export const bytesLabel = (scenario: Scenario): string =>
  `bytes sent, over the least at 0 % loss: ${describeScenario(scenario)}`

/** By the medians of whole runs. */
export const speedRatio = (ours: CaseSummary, other: CaseSummary): number =>
  other.wholeRunMs.median / ours.wholeRunMs.median

/**
 * Against the least without loss: a busy machine makes receivers drop, and ours send again, without any loss in the network. That
 * must not lower the bar.
 */
export const bytesRatio = (lossy: CaseSummary, lossless: CaseSummary): number =>
  lossy.sentBytes.median / lossless.sentBytes.min
