import type { Report } from '../../protocol/index.ts'
import type { Random } from '../../random.ts'
import type { ReceiverSession } from './receiver-session.ts'

const MAX_WORD = 0xffff_ffff

/** Share of the interval by which it varies, so that receivers do not fall into step. Ours. */
const JITTER = 0.1

/** Times reports and fills them in: counts are those since the report before. */
export class Reporter {
  /** How full the driver's queues are, 0 to 100. */
  queuePercent = 0

  readonly #random: Random
  #nextUs = Infinity
  #reportedPackets = 0
  #reportedLosses = 0
  #reportedDrops = 0

  constructor(random: Random) {
    this.#random = random
  }

  /** When the next report is due; Infinity: not running. */
  get nextUs(): number {
    return this.#nextUs
  }

  start(firstUs: number): void {
    this.#nextUs = firstUs
  }

  stop(): void {
    this.#nextUs = Infinity
  }

  /** The report that is due; the next is scheduled. */
  make(nowUs: number, session: ReceiverSession): Omit<Report, 'kind' | 'receiver' | 'name'> {
    const { announce, announcedUs, assembly, packets } = session
    const factor = 1 - JITTER + 2 * JITTER * this.#random()
    this.#nextUs = nowUs + Math.ceil(announce.feedback.reportIntervalMs * 1000 * factor)
    const receivedPackets = packets - this.#reportedPackets
    const lostPackets = assembly.lostPackets - this.#reportedLosses
    this.#reportedPackets = packets
    this.#reportedLosses = assembly.lostPackets
    // Slices that wait for repair fill buffers too, but a lower rate would not empty them: they count once they leave no room.
    const hasDropped = assembly.droppedForBuffers > this.#reportedDrops
    this.#reportedDrops = assembly.droppedForBuffers
    return {
      settledCount: assembly.settled.count,
      settledBelow: assembly.settled.low,
      receivedPackets: Math.min(MAX_WORD, receivedPackets),
      lostPackets: Math.min(MAX_WORD, lostPackets),
      queuePercent: hasDropped ? 100 : Math.max(this.queuePercent, assembly.backlogPercent),
      echoSentAtUs: announce.sentAtUs,
      echoHeldUs: Math.min(MAX_WORD, nowUs - announcedUs),
    }
  }
}
