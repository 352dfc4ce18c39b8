import { MAX_BITS_PER_SEC } from './bitrate.ts'

/** First rate, bits per second. Ours: no 1 Gbit/s network drops it, and doubling reaches 1.6 Gbit/s in three reports. */
const START_BITS_PER_SEC = 200_000_000

/** Lowest rate, bits per second: a receiver that cannot take this needs the slow-receiver policy, not a lower rate. Ours. */
const FLOOR_BITS_PER_SEC = 1_000_000

/** Share of packets lost that is taken for the medium's own loss, which a lower rate would not mend. Ours. */
const TOLERATED_LOSS_RATIO = 0.02

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
}

/**
 * Chooses the rate that the worst cooperating receiver can take. Who does not cooperate is the caller's matter: it hands in only
 * the reports of those that count.
 *
 * Each interval without trouble raises the rate, steeply until the first trouble, then by 10 %, and by 2 % near the rate that last
 * proved too high. Trouble is loss beyond what the medium itself loses (2 %, plus three standard deviations of so small a
 * sample), or a queue over 80 %: the rate falls at once to 0.9 of what the worst receiver got. Reports that still tell of the
 * time before a fall are ignored.
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

  /** @param capBitsPerSec the rate never exceeds it; default 400 Gbit/s */
  constructor(nowUs: number, capBitsPerSec: number = MAX_BITS_PER_SEC) {
    this.#capBitsPerSec = capBitsPerSec
    this.#bitsPerSec = Math.min(START_BITS_PER_SEC, capBitsPerSec)
    this.#intervalBeganUs = nowUs
    this.#ignoreUntilUs = nowUs
  }

  /** The present rate: whole bits per second, 1 Mbit/s to the cap (or the cap where that is lower). */
  get bitsPerSec(): number {
    return this.#bitsPerSec
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
    if (report.queuePercent <= BACKOFF_QUEUE_PERCENT && report.lostPackets <= toleratedLoss(packets)) return
    const sent = Math.max(...this.#sentBitsPerSec)
    const delivered = (Math.min(sent, this.#bitsPerSec) * report.receivedPackets) / packets
    // Nothing is known of what was sent before the first whole interval has passed.
    if (sent === 0) return
    this.#deliveredBitsPerSec = delivered
    this.#set(delivered * BACKOFF_RATIO)
    // A report covers the interval before it and travels half a round trip.
    this.#ignoreUntilUs = nowUs + grttUs + this.#intervalUs
    this.#isHeld = true
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
    if (mayGrow) this.#set(this.#bitsPerSec * this.#growthRatio())
    this.#sentBitsPerSec = [sent, this.#sentBitsPerSec[0]]
    this.#intervalBeganUs = nowUs
    this.#heardCount = 0
    this.#isHeld = false
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

/** Packets of a sample that may be lost without meaning: the tolerated share, three standard deviations, and one. */
const toleratedLoss = (packets: number): number =>
  packets * TOLERATED_LOSS_RATIO + 3 * Math.sqrt(packets * TOLERATED_LOSS_RATIO) + 1
