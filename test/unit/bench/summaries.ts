import type { ProgramName, Scenario } from '../../../bench/peers/scenario.ts'
import { spreadOf } from '../../../bench/peers/statistics.ts'
import type { CaseSummary } from '../../../bench/peers/summary.ts'

/** A case whose runs cost nothing but what `figures` says. */
export function summaryOf(program: ProgramName, scenario: Scenario, figures: Partial<CaseSummary> = {}): CaseSummary {
  const zero = spreadOf([0])
  return {
    ...{ program, scenario, runCount: 1, failures: [] },
    ...{ wholeRunMs: zero, transferMs: spreadOf([]), sentBytes: zero, feedbackBytes: zero },
    ...{ senderSeconds: zero, receiverSeconds: zero, senderPeakBytes: zero, receiverPeakBytes: zero },
    socketDropCount: zero,
    ...figures,
  }
}

/** A case of which no run succeeded. */
export const failed = (program: ProgramName, scenario: Scenario): CaseSummary =>
  summaryOf(program, scenario, { runCount: 0, failures: ['it hung'], wholeRunMs: spreadOf([]) })
