import { formatId, holdoffUs, type Id64, type Micros, type Report } from '../../protocol/index.ts'
import type { Waiting } from './patience.ts'
import { BAD_LOSS_RATIO, BAD_QUEUE_PERCENT, type Roster } from './roster.ts'
import type { SenderMachineOptions } from './sender-options.ts'

/** With `drop`, for how long the others are held up by a slow receiver before it goes, microseconds. Ours. */
export const SLOW_GRACE_US = 2_000_000

/** A receiver that can take less than this share of what the others take is slow: below it, it would more than double their time. Ours. */
const SLOW_RATIO = 0.5

/** How long after the last of a slice was sent a receiver should have settled it, microseconds, and rounds of repair. Ours. */
const MIN_SETTLE_US = 500_000
const REPAIR_ROUNDS = 4

/** What the group could take is forgotten slowly, per interval: by half in 3.4 s of 100 ms. Ours. */
const MEMORY_RATIO = 0.98

/**
 * For so long, microseconds, and so many slices a receiver's buffers must be full before it is told whether it keeps pace: shorter, and a
 * disk that only pauses would be slow. Ours.
 */
const PACE_US = 1_000_000
const PACE_SLICES = 8

/** Where a receiver and the first pass were when the receiver's pace began to be measured. */
interface Pace {
  readonly sinceUs: Micros
  readonly settledCount: number
  readonly begunCount: number
}

/**
 * Tells who is slow from who merely shares a slow network, and what the policy makes of it: with `wait` everybody counts for the
 * rate; with `defer` a slow receiver neither lowers it nor is repaired before the main pass is over; with `drop` it goes when it
 * has held the others up for {@link SLOW_GRACE_US}. A source that cannot be read again has nothing to defer to: there `defer` is `wait`.
 */
export class SlowReceivers {
  readonly #roster: Roster
  readonly #policy: SenderMachineOptions['onSlow']
  /** The rate that all but a minority took of late, bits per second; 0: not known yet. */
  #takenBitsPerSec = 0
  /** So many slices ahead of another a receiver is faster, and not merely heard of later. */
  readonly #leadSlices: number
  /** Of receivers whose buffers are full although they lose little: it is their disk that sets their pace. */
  readonly #paces = new Map<string, Pace>()
  #isMending = false
  #heldUpUs = 0
  #waiting: Waiting | undefined
  #notedUs: Micros

  constructor(
    nowUs: Micros,
    roster: Roster,
    options: Pick<SenderMachineOptions, 'onSlow' | 'canReread' | 'windowSlices'>,
  ) {
    this.#roster = roster
    this.#leadSlices = options.windowSlices >> 2
    this.#policy = options.onSlow === 'defer' && !options.canReread ? 'wait' : options.onSlow
    this.#notedUs = nowUs
  }

  /** The main pass is over: what was put off is due. */
  startMending(): void {
    this.#isMending = true
  }

  /** True when frames stay in memory until all receivers that can still use them have settled them. */
  get isHolding(): boolean {
    return this.#policy !== 'defer' && !this.#isMending
  }

  /** An interval of the rate has passed in which that much of the image was sent. */
  noteInterval(sentBitsPerSec: number): void {
    if (!this.#roster.isMinorityStruggling) return
    this.#takenBitsPerSec = Math.max(sentBitsPerSec, this.#takenBitsPerSec * MEMORY_RATIO)
  }

  /**
   * Looks at a report that the roster has taken.
   * @param begunCount slices that the first pass has begun
   * @returns whether its receiver counts for the rate
   */
  isCounted(nowUs: Micros, report: Report, bitsPerSec: number, begunCount: number): boolean {
    if (this.#policy === 'wait') return true
    const isBehind = this.#fallsBehind(nowUs, report, begunCount)
    const { isMinorityStruggling } = this.#roster
    // While it is mended a slow receiver counts as soon as those are done whom it would slow down.
    if (this.#roster.isDeferred(report.receiver)) return this.#isMending && !isMinorityStruggling
    const packets = report.receivedPackets + report.lostPackets
    if (packets === 0 || !isMinorityStruggling || !this.#roster.isStruggling(report.receiver)) return true
    const othersBitsPerSec = this.#takenBitsPerSec || bitsPerSec
    // What a disk cannot take in time is not lost before the buffers are full: only its pace tells.
    if (!isBehind && (bitsPerSec * report.receivedPackets) / packets >= othersBitsPerSec * SLOW_RATIO) return true
    this.#roster.defer(report.receiver)
    return false
  }

  /** A receiver is no longer there. */
  forget(receiver: Id64): void {
    this.#paces.delete(formatId(receiver))
  }

  /** Whether a receiver's buffers have been full for a while in which it settled less than half of what was begun. */
  #fallsBehind(nowUs: Micros, report: Report, begunCount: number): boolean {
    const { receiver, settledCount, queuePercent, receivedPackets, lostPackets } = report
    const key = formatId(receiver)
    const isFull = queuePercent > BAD_QUEUE_PERCENT && lostPackets <= (receivedPackets + lostPackets) * BAD_LOSS_RATIO
    const pace = isFull ? this.#paces.get(key) : undefined
    const begun = begunCount - (pace?.begunCount ?? 0)
    const isDue = pace !== undefined && nowUs - pace.sinceUs >= PACE_US && begun >= PACE_SLICES
    if (!isFull) this.#paces.delete(key)
    else if (pace === undefined || isDue) this.#paces.set(key, { sinceUs: nowUs, settledCount, begunCount })
    return isDue && settledCount - pace.settledCount < begun * SLOW_RATIO
  }

  /** Whether a receiver's NACKs wait until the main pass is over. */
  isPutOff(receiver: Report['receiver']): boolean {
    return this.#policy === 'defer' && !this.#isMending && this.#roster.isDeferred(receiver)
  }

  /** What the first pass waits for; undefined while frames that must be held leave room for others. */
  get waiting(): Waiting | undefined {
    return this.#waiting
  }

  /**
   * Notes whether the first pass is held up because frames must be held. Time without relieves time with.
   * @param slice the first that is held; undefined: it is not held up
   */
  noteHeldUp(nowUs: Micros, slice: number | undefined): void {
    const elapsedUs = nowUs - this.#notedUs
    this.#heldUpUs = Math.max(0, this.#heldUpUs + (this.#waiting === undefined ? -elapsedUs : elapsedUs))
    const sinceUs = this.#waiting?.sinceUs ?? nowUs
    this.#waiting = slice === undefined ? undefined : { sinceUs, from: slice, below: slice + 1 }
    this.#notedUs = nowUs
  }

  /**
   * Whom to drop: nobody before the grace is over, then those who had not settled the slice that all wait for, although they
   * reported long after it was sent. Nobody either unless most are well ahead of them: else it is not they who are slow.
   * @param sentUs when that slice had been sent
   */
  takeDrops(sliceIndex: number, sentUs: Micros): readonly Id64[] {
    if (this.#policy !== 'drop' || this.#heldUpUs < SLOW_GRACE_US) return []
    this.#heldUpUs = 0
    const { groupCount, reportingCount, grttUs } = this.#roster
    const repairUs = REPAIR_ROUNDS * holdoffUs(groupCount, grttUs)
    const stuck = this.#roster.stuckAt(sliceIndex, sentUs + Math.max(MIN_SETTLE_US, repairUs))
    return this.#roster.aheadCount(sliceIndex + this.#leadSlices) * 2 >= reportingCount ? stuck : []
  }
}
