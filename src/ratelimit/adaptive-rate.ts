import { MAX_BITS_PER_SEC } from './bitrate.ts'

/** First rate, bits per second. Ours: no 1 Gbit/s network drops it, and doubling reaches 1.6 Gbit/s in three reports. */
const START_BITS_PER_SEC = 200_000_000

/** A cap up to this is the first rate: who gives it has thought of the network. Above, it may be meant as no cap. Ours. */
const TRUSTED_CAP_BITS_PER_SEC = 1_000_000_000

/** Lowest rate, bits per second: a receiver that cannot take this needs the slow-receiver policy, not a lower rate. Ours. */
const FLOOR_BITS_PER_SEC = 1_000_000

/** Share of packets lost that is taken for the medium's own loss, which a lower rate would not mend, until more is known. Ours. */
const TOLERATED_LOSS_RATIO = 0.02

/** What is known to be the medium's own loss is tolerated with this factor. Ours. */
const MEDIUM_MARGIN = 1.25

/** So many falls in a row that did not halve the loss show that it is the medium's own. Ours: one may meet another flow that grows. */
const VAIN_FALL_COUNT = 2
const VAIN_RATIO = 0.5

/** Loss above this is never taken for the medium's own. Ours. */
const MAX_MEDIUM_LOSS_RATIO = 0.5

/** How fast a medium that has become better is believed, per interval. Ours. */
const MEDIUM_DECAY = 0.05

/** Losses are counted when a slice is through, so that those of up to a slice's symbols may be in one report. */
const LUMP_PACKETS = 255

/** A receiver whose queue is fuller than this is about to drop packets; above the second value the rate no longer grows. Ours. */
const BACKOFF_QUEUE_PERCENT = 80
const HOLD_QUEUE_PERCENT = 50

/** Where the rate goes when it is too high, as a share of what the worst receiver got: leaves room to drain queues. Ours. */
const BACKOFF_RATIO = 0.9

/** Growth per interval: until the first loss, far from the rate that last proved too high, and near it. Ours. */
const FIRST_GROWTH_RATIO = 2
const FAR_GROWTH_RATIO = 1.1
const NEAR_GROWTH_RATIO = 1.02

/** Within this share of what was last delivered under loss, above or below, counts as near. */
const NEAR_RATIO = 0.1

/** A rate of which less than this share was used has not been tried: it does not grow. */
const USED_RATIO = 0.8

/** What one receiver said of the time since its report before. */
export interface RateReport {
  readonly receivedPackets: number
  readonly lostPackets: number
  /** Share of its buffers in use, 0 to 100. */
  readonly queuePercent: number
  /** What came in, with headers; undefined when it is not known since when. */
  readonly receivedBitsPerSec: number | undefined
}

/** Falls for loss in a row, and where they began. */
interface Falls {
  readonly bitsPerSec: number
  readonly deliveredBitsPerSec: number | undefined
  /** Loss beyond the medium's own that made it fall first. */
  readonly excessRatio: number
  /** Highest loss of the reports that made it fall. */
  readonly worstLossRatio: number
  readonly count: number
}

/**
 * Chooses the rate that the worst cooperating receiver can take. Who does not cooperate is the caller's matter: it hands in only
 * the reports of those that count.
 *
 * Each interval without trouble raises the rate, steeply until the first trouble, then by 10 %, and by 2 % near the rate that last
 * proved too high. Trouble is loss beyond what the medium itself loses (2 %, plus three standard deviations of so small a
 * sample), or a queue over 80 %: the rate falls at once to 0.9 of what the worst receiver got. Reports that still tell of the
 * time before a fall are ignored. Loss that falls do not lessen is the medium's own: it is tolerated from then on, and the rate
 * goes back to where they began.
 */
export class AdaptiveRate {
  #capBitsPerSec: number
  #bitsPerSec: number
  /** What the worst receiver got when the rate last proved too high; undefined before. */
  #deliveredBitsPerSec: number | undefined
  #intervalBeganUs: number
  #intervalUs = 0
  /** What was sent in the last two whole intervals: reports lag by up to one. */
  #sentBitsPerSec: readonly [number, number] = [0, 0]
  #ignoreUntilUs: number
  #heardCount = 0
  #isHeld = false
  #falls: Falls | undefined
  /** The medium's own loss, as far as falls have shown it. */
  #mediumLossRatio = 0
  #worstLossRatio = 0

  /** @param capBitsPerSec the rate never exceeds it; default 400 Gbit/s */
  constructor(nowUs: number, capBitsPerSec: number = MAX_BITS_PER_SEC) {
    this.#capBitsPerSec = capBitsPerSec
    this.#bitsPerSec = capBitsPerSec <= TRUSTED_CAP_BITS_PER_SEC ? capBitsPerSec : START_BITS_PER_SEC
    this.#intervalBeganUs = nowUs
    this.#ignoreUntilUs = nowUs
  }

  /** The present rate: whole bits per second, 1 Mbit/s to the cap (or the cap where that is lower). */
  get bitsPerSec(): number {
    return this.#bitsPerSec
  }

  /** The transfer begins: what was sent before says nothing. */
  start(nowUs: number): void {
    this.#intervalBeganUs = nowUs
    this.#sentBitsPerSec = [0, 0]
  }

  /** Changes the cap; the rate falls at once when it is higher, and otherwise grows as before. */
  setCap(capBitsPerSec: number): void {
    this.#capBitsPerSec = capBitsPerSec
    this.#set(this.#bitsPerSec)
  }

  /**
   * Takes a report as it comes in and lowers the rate where it must.
   * @param grttUs the group's round-trip time
   */
  handleReport(nowUs: number, report: RateReport, grttUs: number): void {
    const packets = report.receivedPackets + report.lostPackets
    if (nowUs < this.#ignoreUntilUs || packets === 0) return
    this.#heardCount++
    if (report.queuePercent > HOLD_QUEUE_PERCENT) this.#isHeld = true
    const lossRatio = report.lostPackets / packets
    this.#worstLossRatio = Math.max(this.#worstLossRatio, lossRatio)
    const isLossy = report.lostPackets > this.#toleratedLoss(packets) || this.#isInVain(packets, lossRatio)
    if (report.queuePercent <= BACKOFF_QUEUE_PERCENT && !isLossy) return
    // A report covers the interval before it and travels half a round trip.
    this.#ignoreUntilUs = nowUs + grttUs + this.#intervalUs
    this.#isHeld = true
    if (isLossy && this.#isMediumLoss(lossRatio)) return
    // Before the first whole interval has passed, what was sent is the rate.
    const sent = Math.max(...this.#sentBitsPerSec) || this.#bitsPerSec
    const received = report.receivedBitsPerSec ?? (sent * report.receivedPackets) / packets
    this.#deliveredBitsPerSec = Math.min(sent, this.#bitsPerSec, received)
    this.#set(this.#deliveredBitsPerSec * BACKOFF_RATIO)
  }

  /**
   * Ends an interval, as long as the receivers' report interval, and raises the rate where it may.
   * @param sentBytes what went out since the interval before ended
   */
  handleInterval(nowUs: number, sentBytes: number): void {
    this.#intervalUs = nowUs - this.#intervalBeganUs
    if (this.#intervalUs <= 0) return
    const sent = (sentBytes * 8e6) / this.#intervalUs
    const mayGrow = this.#heardCount > 0 && !this.#isHeld && sent >= this.#bitsPerSec * USED_RATIO
    if (mayGrow) {
      this.#set(this.#bitsPerSec * this.#growthRatio())
      this.#falls = undefined
    }
    if (this.#heardCount > 0 && this.#worstLossRatio < this.#mediumLossRatio) {
      this.#mediumLossRatio -= MEDIUM_DECAY * (this.#mediumLossRatio - this.#worstLossRatio)
    }
    this.#worstLossRatio = 0
    this.#sentBitsPerSec = [sent, this.#sentBitsPerSec[0]]
    this.#intervalBeganUs = nowUs
    this.#heardCount = 0
    this.#isHeld = false
  }

  /** Takes a loss that is too high. True when it proves to be the medium's own: the falls before were in vain and are undone. */
  #isMediumLoss(lossRatio: number): boolean {
    const excessRatio = lossRatio - this.#mediumLossRatio
    const before = this.#falls
    if (before === undefined || excessRatio < before.excessRatio * VAIN_RATIO) {
      const [bitsPerSec, deliveredBitsPerSec] = [this.#bitsPerSec, this.#deliveredBitsPerSec]
      this.#falls = { bitsPerSec, deliveredBitsPerSec, excessRatio, worstLossRatio: lossRatio, count: 1 }
      return false
    }
    const worstLossRatio = Math.max(before.worstLossRatio, lossRatio)
    if (before.count < VAIN_FALL_COUNT || worstLossRatio > MAX_MEDIUM_LOSS_RATIO) {
      this.#falls = { ...before, worstLossRatio, count: before.count + 1 }
      return false
    }
    this.#mediumLossRatio = worstLossRatio
    this.#deliveredBitsPerSec = before.deliveredBitsPerSec
    this.#set(before.bitsPerSec)
    this.#falls = undefined
    return true
  }

  /** True when the rate has fallen for loss, and so many packets show as much of it as before. */
  #isInVain(packets: number, lossRatio: number): boolean {
    if (this.#falls === undefined || packets < LUMP_PACKETS || lossRatio < TOLERATED_LOSS_RATIO) return false
    return lossRatio - this.#mediumLossRatio >= this.#falls.excessRatio * VAIN_RATIO
  }

  /** Packets of a sample that may be lost without meaning: the tolerated share, three standard deviations, and one. */
  #toleratedLoss(packets: number): number {
    const share = Math.max(TOLERATED_LOSS_RATIO, this.#mediumLossRatio * MEDIUM_MARGIN)
    const expected = Math.max(packets, LUMP_PACKETS) * share
    return expected + 3 * Math.sqrt(expected) + 1
  }

  #growthRatio(): number {
    if (this.#deliveredBitsPerSec === undefined) return FIRST_GROWTH_RATIO
    const distance = Math.abs(this.#bitsPerSec / this.#deliveredBitsPerSec - 1)
    // The rate comes back to exactly 0.9 of what was delivered: a hair more than the ratio, so that this counts as near.
    return distance > NEAR_RATIO * 1.001 ? FAR_GROWTH_RATIO : NEAR_GROWTH_RATIO
  }

  #set(bitsPerSec: number): void {
    this.#bitsPerSec = Math.min(this.#capBitsPerSec, Math.max(FLOOR_BITS_PER_SEC, Math.round(bitsPerSec)))
  }
}
