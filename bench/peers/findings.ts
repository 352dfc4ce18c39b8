import type { BenchImage } from './images.ts'
import { isSameCase, type Case } from './scenario.ts'
import type { Spread } from './statistics.ts'
import type { CaseSummary } from './summary.ts'

/** All that one run of the benchmark has measured. */
export interface Findings {
  /** In the order in which each round ran them. */
  readonly summaries: readonly CaseSummary[]
  /** Name of an image → what it was. */
  readonly images: ReadonlyMap<string, BenchImage>
  /** Absent when it was not looked for. */
  readonly start?: StartSummary
}

/** How long our commands take before they are of use. */
export interface StartSummary {
  /** From the start of a receiver's process until its host has joined the group; of all receivers, one at a time. */
  readonly receiverReadyMs: Spread
  /** From the start of the sender's process to its first data packet at another host, with all receivers waiting. */
  readonly firstDataMs: Spread
  /** Of a run of Node.js with nothing to do. */
  readonly nodeMs: Spread
  readonly failures: readonly string[]
}

/** undefined when the case was not planned, or no run of it succeeded. */
export const findCase = (summaries: readonly CaseSummary[], wanted: Case): CaseSummary | undefined =>
  summaries.find((summary) => summary.runCount > 0 && isSameCase(summary, wanted))
