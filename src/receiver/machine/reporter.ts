import type { Report } from '../../protocol/index.ts'
import type { Random } from '../../random.ts'
import type { ReceiverSession } from './receiver-session.ts'

const MAX_WORD = 0xffff_ffff

/** Share of the interval by which it varies, so that receivers do not fall into step. Ours. */
const JITTER = 0.1

/**
 * While nothing is heard from the sender reports come no more often, milliseconds: they only keep this receiver on its roster, and where a
 * stranger's Announce was taken for one, go to somebody who has asked for none. Half of the shortest receiver timeout. Ours.
 */
const SILENT_INTERVAL_MS = 500

/** Buffers that take longer to fill at the present rate are not full because of it, microseconds. Ours: what the holdoff grows to, twice. */
const SLOW_FILL_US = 2_000_000

/** Times reports and fills them in: counts are those since the report before. */
export class Reporter {
  readonly #random: Random
  #nextUs = Infinity
  /** The report before, or the start, and how much of an interval after it the next is due. */
  #lastUs = 0
  #share = 0
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

  /** @param share how much of a report interval after `nowUs` the first report is due, 0 to 1 */
  start(nowUs: number, intervalMs: number, share: number): void {
    this.#lastUs = nowUs
    this.#share = share
    this.#nextUs = this.#dueUs(intervalMs)
  }

  stop(): void {
    this.#nextUs = Infinity
  }

  /** The report, if it is due; the next is scheduled then. */
  poll(nowUs: number, session: ReceiverSession): Omit<Report, 'kind' | 'receiver' | 'name'> | undefined {
    const { announce, announcedUs, assembly, packets } = session
    const { reportIntervalMs: toldMs } = announce.feedback
    const reportIntervalMs = session.isSilent(nowUs) ? Math.max(SILENT_INTERVAL_MS, toldMs) : toldMs
    if (this.#nextUs === Infinity) return undefined
    // While receivers join, the interval grows: what was due by that of a smaller group waits (RFC 3550 section 6.3.3).
    this.#nextUs = this.#dueUs(reportIntervalMs)
    if (nowUs < this.#nextUs) return undefined
    this.start(nowUs, reportIntervalMs, 1 - JITTER + 2 * JITTER * this.#random())
    const receivedPackets = packets - this.#reportedPackets
    // Packets that came late are taken off again, if need be from the losses of the next report.
    const lostPackets = Math.max(0, assembly.lostPackets - this.#reportedLosses)
    this.#reportedPackets = packets
    this.#reportedLosses += lostPackets
    // Slices that wait for repair fill buffers too, but a lower rate would not empty them: they count once they leave no room, and
    // only where a lower rate leaves them more time than any repair takes.
    const { rateBitsPerSec } = announce
    const fillUs = rateBitsPerSec === 0 ? 0 : (assembly.bufferBytes * 8e6) / rateBitsPerSec
    const hasDropped = assembly.droppedForBuffers > this.#reportedDrops && fillUs < SLOW_FILL_US
    this.#reportedDrops = assembly.droppedForBuffers
    return {
      settledCount: assembly.settled.count,
      settledBelow: assembly.settled.low,
      receivedPackets: Math.min(MAX_WORD, receivedPackets),
      lostPackets: Math.min(MAX_WORD, lostPackets),
      queuePercent: hasDropped ? 100 : assembly.backlogPercent,
      echoSentAtUs: announce.sentAtUs,
      echoHeldUs: Math.min(MAX_WORD, nowUs - announcedUs),
    }
  }

  #dueUs(intervalMs: number): number {
    return this.#lastUs + Math.ceil(intervalMs * 1000 * this.#share)
  }
}
