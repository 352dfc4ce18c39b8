import { formatId, MAX_GRTT_US, MAX_RECEIVER_COUNT, MIN_GRTT_US, type Id64, type Report } from '../../protocol/index.ts'
import type { ReceiverView } from './sender-options.ts'

interface Member {
  readonly id: Id64
  readonly key: string
  name: string
  address: string
  state: ReceiverView['state']
  reason: string
  heardUs: number
  settledCount: number
  settledBelow: number
  receivedPackets: number
  lostPackets: number
}

/** The receivers of a session: who they are, how far they are, and when they were last heard. At most 16,384. */
export class Roster {
  readonly #members = new Map<string, Member>()
  #liveCount = 0
  #grttUs = MIN_GRTT_US
  #lowest: number | undefined

  get liveCount(): number {
    return this.#liveCount
  }

  get knownCount(): number {
    return this.#members.size
  }

  /** Estimate of the group's round trip, microseconds, between 5 ms and 2 s: rises quickly, falls slowly (RFC 5401 section 4). */
  get grttUs(): number {
    return this.#grttUs
  }

  /** Every slice below this is settled at all live receivers; Infinity when there is none. */
  get settledBelow(): number {
    if (this.#lowest === undefined) {
      let lowest = Infinity
      for (const member of this.#members.values()) {
        if (member.state === 'live') lowest = Math.min(lowest, member.settledBelow)
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
      ...{ id, key, name: name ?? key, address, state: 'live', reason: '', heardUs: nowUs },
      ...{ settledCount: 0, settledBelow: 0, receivedPackets: 0, lostPackets: 0 },
    })
    this.#liveCount++
    this.#lowest = 0
    return 'new'
  }

  /** Takes a report's figures. `nowUs` and the report's echo give a sample of the round trip. */
  report(nowUs: number, report: Report): void {
    const member = this.#members.get(formatId(report.receiver))
    if (member === undefined) return
    member.settledCount = report.settledCount
    if (report.settledBelow > member.settledBelow) {
      if (member.settledBelow === this.#lowest) this.#lowest = undefined
      member.settledBelow = report.settledBelow
    }
    member.receivedPackets += report.receivedPackets
    member.lostPackets += report.lostPackets
    if (report.echoSentAtUs === 0) return
    const sampleUs = ((nowUs - report.echoSentAtUs) >>> 0) - report.echoHeldUs
    if (sampleUs < 0 || sampleUs > MAX_GRTT_US) return
    const weight = sampleUs > this.#grttUs ? 0.25 : 0.05
    const next = this.#grttUs + weight * (sampleUs - this.#grttUs)
    this.#grttUs = Math.round(Math.min(MAX_GRTT_US, Math.max(MIN_GRTT_US, next)))
  }

  /** Ends a live receiver's part. False when it was not live. */
  retire(id: Id64, state: 'done' | 'left' | 'dropped', reason: string): boolean {
    const member = this.#members.get(formatId(id))
    if (member?.state !== 'live') return false
    member.state = state
    member.reason = reason
    this.#liveCount--
    this.#lowest = undefined
    return true
  }

  /** Live receivers that have not been heard since `sinceUs`. */
  silentSince(sinceUs: number): Id64[] {
    return this.#liveWhere((member) => member.heardUs < sinceUs)
  }

  /** Live receivers that have not settled every slice below `sliceIndex`. */
  behind(sliceIndex: number): Id64[] {
    return this.#liveWhere((member) => member.settledBelow < sliceIndex)
  }

  view(id: Id64): ReceiverView | undefined {
    const member = this.#members.get(formatId(id))
    return member && viewOf(member)
  }

  views(): ReceiverView[] {
    return [...this.#members.values()].map(viewOf)
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
