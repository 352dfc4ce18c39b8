import { seededRandom } from '../../src/random.ts'
import { Link } from '../../test/sim/link.ts'
import { idealExtraRatio, resendExtraRatio } from './ideal.ts'
import { replayParity, replayResend, type Dice, type Replayed } from './replay.ts'
import type { Scale, ScaleCase, ScaleRun } from './run-case.ts'

/** What the runs of one case gave, beside what the two strategies cost on losses of the same kind. Means over the runs. */
export interface CaseSummary {
  readonly receiverCount: number
  /** Name of the loss model, and how a person calls it. */
  readonly loss: string
  readonly lossLabel: string
  readonly runCount: number
  readonly messageCount: number
  readonly messageCounts: Readonly<Record<string, number>>
  readonly messagesPerSec: number
  readonly busiestSecondCount: number
  /** Symbols beyond the source symbols, over these; the part of it that nobody had to ask for; the least possible. */
  readonly extraRatio: number
  readonly proactiveRatio: number
  readonly idealExtraRatio: number
  /** All bytes beyond those of the source packets, over these. */
  readonly extraBytesRatio: number
  readonly firstDataSec: number
  readonly lastCompleteSec: number
  readonly endSec: number
  readonly resend: {
    readonly extraRatio: number
    readonly messageCount: number
    /** Time that sending it all takes at the same rate, from the first packet. */
    readonly sendingSec: number
    readonly messagesPerSec: number
  }
}

/** Source symbols of each slice: `run-case.ts` has full slices at Ethernet's MTU. */
const SOURCE_COUNT = 182

const PACKET_WIRE_BYTES = 1500

/** @param runs of the case, at least one */
export function summarize(
  { receiverCount, loss }: ScaleCase,
  { sliceCount, bitsPerSec }: Scale,
  runs: readonly ScaleRun[],
): CaseSummary {
  const mean = (figure: (run: ScaleRun) => number): number =>
    runs.reduce((sum, run) => sum + figure(run), 0) / runs.length
  const kinds = new Set(runs.flatMap(({ messageCounts }) => Object.keys(messageCounts)))
  const shape = { sliceCount, sourceCount: SOURCE_COUNT }
  const replay = (strategy: typeof replayParity): Replayed => strategy(shape, diceOf({ receiverCount, loss }))
  const resend = replay(replayResend)
  const group = loss.lossRatio === undefined ? undefined : { lossRatio: loss.lossRatio, receiverCount }
  const extraRatio = group ? resendExtraRatio(group) : resend.extraRatio
  const sendingSec = (sliceCount * SOURCE_COUNT * (1 + extraRatio) * PACKET_WIRE_BYTES * 8) / bitsPerSec
  return {
    ...{ receiverCount, loss: loss.name, lossLabel: loss.label, runCount: runs.length },
    messageCount: mean((run) => run.messageCount),
    messageCounts: Object.fromEntries([...kinds].map((kind) => [kind, mean((run) => run.messageCounts[kind] ?? 0)])),
    messagesPerSec: mean((run) => run.messagesPerSec),
    busiestSecondCount: mean((run) => run.busiestSecondCount),
    extraRatio: mean((run) => (run.proactiveSymbols + run.repairSymbols) / run.sourceSymbols),
    proactiveRatio: mean((run) => run.proactiveSymbols / run.sourceSymbols),
    idealExtraRatio: group ? idealExtraRatio(SOURCE_COUNT, group) : replay(replayParity).extraRatio,
    extraBytesRatio: mean((run) => run.wireRatio - 1),
    firstDataSec: mean((run) => run.firstDataUs / 1e6),
    lastCompleteSec: mean((run) => run.lastCompleteUs / 1e6),
    endSec: mean((run) => run.endUs / 1e6),
    resend: {
      ...{ extraRatio, messageCount: resend.messageCount, sendingSec },
      messagesPerSec: resend.messageCount / sendingSec,
    },
  }
}

/** Paths like those of the simulated receivers. */
const diceOf = ({ receiverCount, loss }: ScaleCase): Dice[] =>
  Array.from({ length: receiverCount }, (_, index) => new Link(loss.linkOf(index), seededRandom(index * 2_654_435_761)))
