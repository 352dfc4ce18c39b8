import {
  formatId,
  MAX_GRTT_US,
  MAX_RECEIVER_COUNT,
  MIN_GRTT_US,
  type AbortReason,
  type Id64,
  type Report,
} from '../../protocol/index.ts'
import type { ReceiverView } from './sender-options.ts'

interface Member {
  readonly id: Id64
  readonly key: string
  name: string
  address: string
  state: ReceiverView['state']
  reason: string
  dropReason: AbortReason
  heardUs: number
  reportedUs: number
  settledCount: number
  settledBelow: number
  receivedPackets: number
  lostPackets: number
  /** It loses much or its buffers are full: from its first bad report to the last of a few good ones. */
  isStruggling: boolean
  goodReportCount: number
  isDeferred: boolean
}

/** A report is bad when it tells of more loss than this, or fuller buffers. Ours: a medium's own loss is below, overload far above. */
const BAD_LOSS_RATIO = 0.05
const BAD_QUEUE_PERCENT = 80

/** Lost packets that say nothing of a ratio. */
const FEW_PACKETS = 3

/** Good reports in a row after which a receiver no longer struggles. */
const GOOD_REPORT_COUNT = 5

/** The receivers of a session: who they are, how far they are, and when they were last heard. At most 16,384. */
export class Roster {
  readonly #members = new Map<string, Member>()
  #liveCount = 0
  #strugglingCount = 0
  #grttUs = MIN_GRTT_US
  #lowest: number | undefined

  get liveCount(): number {
    return this.#liveCount
  }

  get knownCount(): number {
    return this.#members.size
  }

  /** Live receivers that struggle: they lose much, or their buffers are full. */
  get strugglingCount(): number {
    return this.#strugglingCount
  }

  /** Estimate of the group's round trip, microseconds, between 5 ms and 2 s: rises quickly, falls slowly (RFC 5401 section 4). */
  get grttUs(): number {
    return this.#grttUs
  }

  /**
   * Every slice below this is settled at all live receivers that have settled all below `from`; Infinity when there is none. Those
   * that lack a slice below `from` joined late: it does not help them when slices from `from` on are held.
   */
  settledBelow(from: number): number {
    if (this.#lowest === undefined || this.#lowest < from) {
      let lowest = Infinity
      for (const { state, settledBelow } of this.#members.values()) {
        if (state === 'live' && settledBelow >= from && settledBelow < lowest) lowest = settledBelow
      }
      this.#lowest = lowest
    }
    return this.#lowest
  }

  /**
   * Notes a sign of life. A receiver not yet known is taken in.
   * @returns the member's state before; 'new' when it was not known; 'full' when there is no room for it
   */
  hear(nowUs: number, id: Id64, name: string | undefined, address: string): ReceiverView['state'] | 'new' | 'full' {
    const key = formatId(id)
    const member = this.#members.get(key)
    if (member !== undefined) {
      member.heardUs = nowUs
      if (name !== undefined) member.name = name
      return member.state
    }
    if (this.#members.size >= MAX_RECEIVER_COUNT) return 'full'
    this.#members.set(key, {
      ...{ id, key, name: name ?? key, address, state: 'live', reason: '', dropReason: 'too-slow' },
      ...{
        heardUs: nowUs,
        reportedUs: -Infinity,
        settledCount: 0,
        settledBelow: 0,
        receivedPackets: 0,
        lostPackets: 0,
      },
      ...{ isStruggling: false, goodReportCount: 0, isDeferred: false },
    })
    this.#liveCount++
    this.#lowest = undefined
    return 'new'
  }

  /** Takes a report's figures. `nowUs` and the report's echo give a sample of the round trip. */
  report(nowUs: number, report: Report): void {
    const member = this.#members.get(formatId(report.receiver))
    if (member === undefined) return
    member.reportedUs = nowUs
    member.settledCount = report.settledCount
    if (report.settledBelow > member.settledBelow) {
      if (this.#lowest !== undefined && member.settledBelow <= this.#lowest) this.#lowest = undefined
      member.settledBelow = report.settledBelow
    }
    member.receivedPackets += report.receivedPackets
    member.lostPackets += report.lostPackets
    if (member.state === 'live') this.#judge(member, report)
    if (report.echoSentAtUs !== 0) this.#sampleRoundTrip(((nowUs - report.echoSentAtUs) >>> 0) - report.echoHeldUs)
  }

  /**
   * Ends a live receiver's part. False when it was not live.
   * @param dropReason what a dropped one is told, as often as it asks
   */
  retire(id: Id64, state: 'done' | 'left' | 'dropped', reason: string, dropReason: AbortReason = 'too-slow'): boolean {
    const member = this.#members.get(formatId(id))
    if (member?.state !== 'live') return false
    member.state = state
    member.reason = reason
    member.dropReason = dropReason
    this.#liveCount--
    if (member.isStruggling) this.#strugglingCount--
    this.#lowest = undefined
    return true
  }

  dropReason(id: Id64): AbortReason {
    return this.#members.get(formatId(id))?.dropReason ?? 'too-slow'
  }

  /** True when the receiver has told its name: a NACK may come before its Join. */
  isNamed(id: Id64): boolean {
    const member = this.#members.get(formatId(id))
    return member !== undefined && member.name !== member.key
  }

  /** True while a live receiver loses much, or its buffers are full. */
  isStruggling(id: Id64): boolean {
    return this.#members.get(formatId(id))?.isStruggling === true
  }

  /** Puts a receiver off until the main pass is over, or until it struggles no more. */
  defer(id: Id64): void {
    const member = this.#members.get(formatId(id))
    if (member !== undefined) member.isDeferred = true
  }

  isDeferred(id: Id64): boolean {
    return this.#members.get(formatId(id))?.isDeferred === true
  }

  /** Live receivers that have not been heard since `sinceUs`. */
  silentSince(sinceUs: number): Id64[] {
    return this.#liveWhere((member) => member.heardUs < sinceUs)
  }

  /** Live receivers that have settled every slice below `sliceIndex` but not that one, by a report since `sinceUs`. */
  stuckAt(sliceIndex: number, sinceUs: number): Id64[] {
    return this.#liveWhere((member) => member.settledBelow === sliceIndex && member.reportedUs >= sinceUs)
  }

  /** Live receivers that have settled every slice up to `sliceIndex`. */
  aheadCount(sliceIndex: number): number {
    return this.#liveWhere((member) => member.settledBelow > sliceIndex).length
  }

  view(id: Id64): ReceiverView | undefined {
    const member = this.#members.get(formatId(id))
    return member && viewOf(member)
  }

  views(): ReceiverView[] {
    return [...this.#members.values()].map(viewOf)
  }

  #sampleRoundTrip(sampleUs: number): void {
    if (sampleUs < 0 || sampleUs > MAX_GRTT_US) return
    const weight = sampleUs > this.#grttUs ? 0.25 : 0.05
    const next = this.#grttUs + weight * (sampleUs - this.#grttUs)
    this.#grttUs = Math.round(Math.min(MAX_GRTT_US, Math.max(MIN_GRTT_US, next)))
  }

  #judge(member: Member, report: Report): void {
    const packets = report.receivedPackets + report.lostPackets
    const isBad = report.queuePercent > BAD_QUEUE_PERCENT || report.lostPackets > packets * BAD_LOSS_RATIO + FEW_PACKETS
    member.goodReportCount = isBad ? 0 : member.goodReportCount + 1
    if (isBad === member.isStruggling || (!isBad && member.goodReportCount < GOOD_REPORT_COUNT)) return
    member.isStruggling = isBad
    this.#strugglingCount += isBad ? 1 : -1
    if (!isBad) member.isDeferred = false
  }

  #liveWhere(holds: (member: Member) => boolean): Id64[] {
    const ids: Id64[] = []
    for (const member of this.#members.values()) if (member.state === 'live' && holds(member)) ids.push(member.id)
    return ids
  }
}

function viewOf(member: Member): ReceiverView {
  const { key, name, address, state, reason, settledCount, receivedPackets, lostPackets } = member
  const expected = receivedPackets + lostPackets
  return { id: key, name, address, state, reason, settledCount, lossRatio: expected === 0 ? 0 : lostPackets / expected }
}
