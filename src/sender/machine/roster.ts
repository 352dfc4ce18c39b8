import {
  formatId,
  MAX_GRTT_US,
  MAX_RECEIVER_COUNT,
  MAX_RECEIVERS_PER_ADDRESS,
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
  joinedUs: number
  /** When it last reported; -Infinity: never, so that nothing but its word tells that it is there. */
  reportedUs: number
  /** When it last reported more slices settled than ever before. */
  progressUs: number
  /** It has never reported although it had time to: nothing waits for it but the end of the session. */
  isMute: boolean
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
export const BAD_LOSS_RATIO = 0.05
export const BAD_QUEUE_PERCENT = 80

/** Lost packets that say nothing of a ratio. */
const FEW_PACKETS = 3

/** Good reports in a row after which a receiver no longer struggles. */
const GOOD_REPORT_COUNT = 5

/** A receiver that has not reported by then, microseconds since it joined, or by two report intervals, is mute. Ours: the first comes with the Join. */
const PROBATION_US = 2_000_000

/**
 * Receivers that have not yet reported make the group look no larger than this and twice those that have. Ours: of many hosts
 * started together, all have reported within a few intervals.
 */
const NEW_COUNT = 64

/** Live receivers of one source address, those that have reported, and those of them that struggle. */
interface AddressCount {
  live: number
  reporting: number
  struggling: number
}

/**
 * The receivers of a session: who they are, how far they are, and when they were last heard. At most 16,384, and at most 1,024 live
 * ones behind one address. Anybody can make receivers up; those that never report count for little, and make room for others.
 */
export class Roster {
  readonly #members = new Map<string, Member>()
  /** Those that have never reported: mute ones, others by the time at which they joined; and those that have left or were dropped. */
  readonly #mute = new Set<Member>()
  readonly #silent = new Set<Member>()
  readonly #gone = new Set<Member>()
  readonly #addresses = new Map<string, AddressCount>()
  #liveCount = 0
  #reportingCount = 0
  /** Live ones that are mute. */
  #muteCount = 0
  #strugglingCount = 0
  /** Addresses of live receivers that report, and those where most of them struggle. */
  #reportingAddresses = 0
  #strugglingAddresses = 0
  #grttUs = MIN_GRTT_US
  #lowest: number | undefined
  /** What {@link settledBelow} was asked for when it found the lowest. */
  #lowestFrom = 0

  get liveCount(): number {
    return this.#liveCount
  }

  get knownCount(): number {
    return this.#members.size
  }

  /** Live receivers, as far as feedback is timed by their number: made-up ones, which never report, hardly slow the others down. */
  get groupCount(): number {
    return Math.min(this.#liveCount - this.#muteCount, this.credibleCount)
  }

  /** How large the group is at most, to judge by those that have reported. */
  get credibleCount(): number {
    return 2 * this.#reportingCount + NEW_COUNT
  }

  /** Live receivers that have reported at least once. */
  get reportingCount(): number {
    return this.#reportingCount
  }

  /**
   * True when at most half of the live receivers that report struggle (they lose much, or their buffers are full), and there are
   * others. Where there are several addresses each has one voice, since one host can make up many receivers.
   */
  get isMinorityStruggling(): boolean {
    const [all, struggling] =
      this.#reportingAddresses > 1
        ? [this.#reportingAddresses, this.#strugglingAddresses]
        : [this.#reportingCount, this.#strugglingCount]
    return all > 1 && struggling * 2 <= all
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
      for (const { state, settledBelow, isMute } of this.#members.values()) {
        if (state === 'live' && !isMute && settledBelow >= from && settledBelow < lowest) lowest = settledBelow
      }
      this.#lowest = lowest
      this.#lowestFrom = from
    }
    return this.#lowest
  }

  /**
   * Notes a sign of life. A receiver not yet known is taken in; when there are too many, in the place of the first of those that
   * have never reported, or else of those that are gone.
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
    if (this.#countOf(address).live >= MAX_RECEIVERS_PER_ADDRESS) return 'full'
    if (this.#members.size >= MAX_RECEIVER_COUNT && !this.#makeRoom()) return 'full'
    const made: Member = {
      ...{ id, key, name: name ?? key, address, state: 'live', reason: '', dropReason: 'too-slow' },
      ...{ heardUs: nowUs, joinedUs: nowUs, reportedUs: -Infinity, progressUs: nowUs, isMute: false },
      ...{ settledCount: 0, settledBelow: 0, receivedPackets: 0, lostPackets: 0 },
      ...{ isStruggling: false, goodReportCount: 0, isDeferred: false },
    }
    this.#members.set(key, made)
    this.#silent.add(made)
    this.#count(address, 1, 0, 0)
    this.#liveCount++
    // Whoever joins has settled nothing.
    if (this.#lowest !== undefined && this.#lowestFrom === 0) this.#lowest = 0
    return 'new'
  }

  /** Takes a report's figures. `nowUs` and the report's echo give a sample of the round trip. */
  report(nowUs: number, report: Report): void {
    const member = this.#members.get(formatId(report.receiver))
    if (member === undefined) return
    const isFirst = this.#silent.delete(member) || this.#mute.delete(member)
    if (isFirst && member.state === 'live') this.#noteSpeaker(member)
    member.reportedUs = nowUs
    if (report.settledCount > member.settledCount) member.progressUs = nowUs
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
    if (state !== 'done') this.#gone.add(member)
    this.#discount(member)
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

  /** The receiver has said that every slice below this is settled; 0 when it is not known. */
  settledBelowOf(id: Id64): number {
    return this.#members.get(formatId(id))?.settledBelow ?? 0
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

  /** Live receivers whose first slice not settled is in [from, below), and that have settled none since `sinceUs`. */
  stalledSince(sinceUs: number, from: number, below: number): Id64[] {
    return this.#liveWhere(
      ({ settledBelow, progressUs }) => settledBelow >= from && settledBelow < below && progressUs < sinceUs,
    )
  }

  /** Sees to it that nobody waits for those who have had so long to report and never did. */
  noteMute(nowUs: number, reportIntervalUs: number): void {
    const sinceUs = nowUs - Math.max(PROBATION_US, 2 * reportIntervalUs)
    for (const member of this.#silent) {
      if (member.joinedUs >= sinceUs) break
      this.#silent.delete(member)
      this.#mute.add(member)
      if (member.state !== 'live') continue
      member.isMute = true
      this.#muteCount++
      if (this.#lowest === 0) this.#lowest = undefined
    }
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
    this.#count(member.address, 0, 0, isBad ? 1 : -1)
    if (!isBad) member.isDeferred = false
  }

  /** A live receiver reports for the first time. */
  #noteSpeaker(member: Member): void {
    if (member.isMute) {
      this.#lowest = undefined
      this.#muteCount--
      member.isMute = false
    }
    this.#count(member.address, 0, 1, 0)
  }

  /** A receiver is live no longer. */
  #discount(member: Member): void {
    this.#liveCount--
    if (member.isMute) this.#muteCount--
    this.#count(member.address, -1, member.reportedUs === -Infinity ? 0 : -1, member.isStruggling ? -1 : 0)
    if (this.#lowest !== undefined && member.settledBelow <= this.#lowest) this.#lowest = undefined
  }

  #count(address: string, live: number, reporting: number, struggling: number): void {
    const count = this.#countOf(address)
    this.#reportingAddresses -= Number(count.reporting > 0)
    this.#strugglingAddresses -= Number(isMostlyStruggling(count))
    count.live += live
    count.reporting += reporting
    count.struggling += struggling
    this.#reportingCount += reporting
    this.#strugglingCount += struggling
    this.#reportingAddresses += Number(count.reporting > 0)
    this.#strugglingAddresses += Number(isMostlyStruggling(count))
    if (count.live === 0) this.#addresses.delete(address)
    else this.#addresses.set(address, count)
  }

  #countOf(address: string): AddressCount {
    return this.#addresses.get(address) ?? { live: 0, reporting: 0, struggling: 0 }
  }

  /** Forgets one that has never reported, or is gone. False when there is none. */
  #makeRoom(): boolean {
    for (const members of [this.#mute, this.#silent, this.#gone]) {
      for (const member of members) {
        this.#mute.delete(member)
        this.#silent.delete(member)
        this.#gone.delete(member)
        this.#members.delete(member.key)
        if (member.state === 'live') this.#discount(member)
        return true
      }
    }
    return false
  }

  #liveWhere(holds: (member: Member) => boolean): Id64[] {
    const ids: Id64[] = []
    for (const member of this.#members.values()) if (member.state === 'live' && holds(member)) ids.push(member.id)
    return ids
  }
}

const isMostlyStruggling = ({ reporting, struggling }: AddressCount): boolean => struggling * 2 > reporting

function viewOf(member: Member): ReceiverView {
  const { key, name, address, state, reason, settledCount, receivedPackets, lostPackets } = member
  const expected = receivedPackets + lostPackets
  return { id: key, name, address, state, reason, settledCount, lossRatio: expected === 0 ? 0 : lostPackets / expected }
}
