import type { ProcessFigures } from '../../test/lab/measured-process.ts'
import type { CaseRun } from './run-case.ts'
import type { Case } from './scenario.ts'
import { meanOf, spreadOf, type Spread } from './statistics.ts'

/** What the runs of one case gave. A figure of several receivers is their mean, peak memory that of the largest. */
export interface CaseSummary extends Case {
  readonly runCount: number
  /** What the runs that failed said. */
  readonly failures: readonly string[]
  /** From the start of the first process to the exit of the last. */
  readonly wholeRunMs: Spread
  /** What the program itself gives as the time of the transfer alone; NaN where it gives none. */
  readonly transferMs: Spread
  /** Bytes of Ethernet frames that left the sender's host, and that came back. */
  readonly sentBytes: Spread
  readonly feedbackBytes: Spread
  /** Processor seconds, user and system. On one machine the sender's include what delivers its packets to the receivers' sockets. */
  readonly senderSeconds: Spread
  readonly receiverSeconds: Spread
  readonly senderPeakBytes: Spread
  readonly receiverPeakBytes: Spread
  /** Datagrams that found a socket buffer full, on all hosts. */
  readonly socketDropCount: Spread
  /** Bytes of the image that were sent as data, before compression; absent for peers. */
  readonly dataBytes?: number
}

export function summarize(plan: Case, runs: readonly CaseRun[], failures: readonly string[]): CaseSummary {
  const spread = (figure: (run: CaseRun) => number): Spread => spreadOf(runs.map(figure))
  const result = runs.at(-1)?.result
  return {
    ...plan,
    ...{ runCount: runs.length, failures },
    wholeRunMs: spread((run) => run.wholeRunMs),
    transferMs: spreadOf(runs.flatMap((run) => run.transferMs ?? [])),
    sentBytes: spread((run) => run.sentBytes),
    feedbackBytes: spread((run) => run.feedbackBytes),
    senderSeconds: spread((run) => processorSeconds(run.sender)),
    receiverSeconds: spread((run) => meanOf(run.receivers.map(processorSeconds))),
    senderPeakBytes: spread((run) => run.sender.peakMemoryBytes),
    receiverPeakBytes: spread((run) => Math.max(...run.receivers.map((receiver) => receiver.peakMemoryBytes))),
    socketDropCount: spread((run) => run.socketDropCount),
    ...(result === undefined ? {} : { dataBytes: result.dataBytes }),
  }
}

const processorSeconds = (figures: ProcessFigures): number => figures.userSeconds + figures.systemSeconds
