import { MAX_BITS_PER_SEC } from './bitrate.ts'
import type { PathSample } from './report-sampler.ts'

/** First rate, bits per second. Ours: no 1 Gbit/s network drops it, and doubling reaches 1.6 Gbit/s in three reports. */
const START_BITS_PER_SEC = 200_000_000

/** A cap up to this is the first rate: who gives it has thought of the network. Above, it may be meant as no cap. Ours. */
const TRUSTED_CAP_BITS_PER_SEC = 1_000_000_000

/** Lowest rate, bits per second: a receiver that cannot take this needs the slow-receiver policy, not a lower rate. Ours. */
const FLOOR_BITS_PER_SEC = 1_000_000

/** Waits on the way that show a queue, microseconds. Ours: event loops at both ends add some milliseconds by themselves. */
const QUEUE_DELAY_US = 10_000

/** Share of packets lost that a lower rate is taken not to mend, until more is known and while no queue shows. Ours. */
const TOLERATED_LOSS_RATIO = 0.02

/** What is known to be the medium's own loss is tolerated with this factor. Ours. */
const MEDIUM_MARGIN = 1.25

/**
 * So many falls in a row that did not halve the loss show that it is the medium's own; more while there is a queue. Ours: one may
 * meet another flow that grows, and what it has filled takes a while to drain.
 */
const VAIN_FALL_COUNT = 2
const VAIN_QUEUED_FALL_COUNT = 5
const VAIN_RATIO = 0.5

/** Loss above this is never taken for the medium's own. Ours. */
const MAX_MEDIUM_LOSS_RATIO = 0.5

/** How fast what the medium loses is believed, up and down, per interval. Ours. */
const MEDIUM_RISE = 0.25
const MEDIUM_DECAY = 0.05

/** Losses are counted when a slice is through, so that those of up to a slice's symbols may be in one sample. */
const LUMP_PACKETS = 255

/** A receiver whose buffers are fuller than this is about to drop packets; above the second value the rate does not grow. Ours. */
const BACKOFF_QUEUE_PERCENT = 80
const HOLD_QUEUE_PERCENT = 50

/**
 * Where a fall ends, as a share of what got through: 0.9, and less by what empties the queue on the way within a quarter of a second,
 * down to 0.7, where TCP's CUBIC falls (RFC 9438 section 4.6). Ours.
 */
const FALL_RATIO = 0.9
const DEEPEST_FALL_RATIO = 0.7
const DRAIN_US = 250_000

/** Until the first trouble the rate doubles each interval (slow start, RFC 5681); after that by at most 3 %. Ours. */
const START_GROWTH_RATIO = 2
const MOST_GROWTH_RATIO = 1.03

/**
 * Growth after the first trouble: a packet per round trip and round trip as TCP's (RFC 5681 section 3.1), but 3 % a second at least.
 * Ours: CUBIC's growth takes 8 s to make up for a fall at 200 Mbit/s and 50 ms.
 */
const LEAST_GROWTH_PER_SEC = 0.03

/** Shortest round trip that growth goes by, microseconds. Ours: what the shortest timer and two event loops take. */
const MIN_ROUND_TRIP_US = 4_000

/**
 * A sample with so many times more losses than the rate allows to be sent in its time tells of an outage that is over, and nothing of
 * the network as it is. Ours: reports in bunches may tell of twice their time.
 */
const OUTAGE_FACTOR = 2

/** The rate falls to this share after an outage, as TCP's threshold does after a timeout (RFC 5681 section 3.1). */
const OUTAGE_FALL_RATIO = 0.5

/** A rate of which less than this share was used has not been tried: it does not grow. */
const USED_RATIO = 0.8

/** A fall begins at no more than this much above what was sent of late: a rate not used says nothing (RFC 7661). Ours. */
const USED_MARGIN = 1.25

/** Intervals that count as of late. Ours: a sender that was held up for a second goes on where it was. */
const LATE_INTERVALS = 10

/** What got through is no less than this share of what was not lost: clocks and bunches of reports may tell less. Ours. */
const LEAST_THROUGH_RATIO = 0.5

/** What was sent in an interval. */
interface Sent {
  readonly fromUs: number
  readonly toUs: number
  readonly bitsPerSec: number
}

/** Falls for loss in a row, and where they began. */
interface Falls {
  readonly bitsPerSec: number
  readonly isStarting: boolean
  /** Loss beyond the medium's own that made it fall first. */
  readonly excessRatio: number
  /** Highest loss of the samples that made it fall. */
  readonly worstLossRatio: number
  readonly count: number
}

/**
 * Chooses the rate that the worst cooperating receiver can take. Who does not cooperate is the caller's matter: it hands in only
 * the samples of those that count.
 *
 * The rate grows and falls as TCP's does, so that both get a share of a link that they meet on (the idea of RAP, Rejaie 1999, and of
 * the single-rate schemes for multicast, PGMCC and RFC 4654). Until the first trouble it doubles each interval. Then it grows by a
 * packet per round trip each round trip: fast on a network without queues, slowly once there is a queue, whoever fills it. Trouble
 * is loss, or a receiver's buffers over 80 %: the rate falls at once to 0.9 of what got through, or lower if there is a queue to
 * empty. Samples that still tell of the time before a fall are ignored.
 *
 * An outage, as of a link that was down for a second, only halves it, once.
 *
 * What differs from TCP is which loss counts, since random loss must not stop a transfer that mends it by parity. Without a queue
 * on the way up to 2 % are tolerated, and remembered as the medium's own; with one, only what is so remembered. More loss makes
 * the rate fall; where falls do not lessen it, it is the medium's own too, and the rate goes back to where they began. All with
 * three standard deviations of so small a sample.
 */
export class AdaptiveRate {
  readonly #packetBits: number
  #capBitsPerSec: number
  #bitsPerSec: number
  #isStarting = true
  #intervalBeganUs: number
  #intervalUs = 0
  /** The last whole intervals. */
  readonly #sent: Sent[] = []
  /** Samples that began before this tell of the time before the last fall. */
  #ignoreBeforeUs: number
  #heardCount = 0
  #isHeld = false
  /** Longest round trip of the samples of this interval. */
  #roundTripUs = 0
  #falls: Falls | undefined
  /** The medium's own loss, as far as quiet times and falls have shown it. */
  #mediumLossRatio = 0
  /** Worst loss of the samples of this interval that show no queue; undefined when there is none. */
  #worstLossRatio: number | undefined

  /**
   * @param packetBytes bytes of the largest packet, headers included
   * @param capBitsPerSec the rate never exceeds it; a fraction of a bit is left out; 1 or more, default 400 Gbit/s
   */
  constructor(nowUs: number, packetBytes: number, capBitsPerSec: number = MAX_BITS_PER_SEC) {
    this.#packetBits = packetBytes * 8
    this.#capBitsPerSec = Math.floor(capBitsPerSec)
    this.#bitsPerSec = capBitsPerSec <= TRUSTED_CAP_BITS_PER_SEC ? this.#capBitsPerSec : START_BITS_PER_SEC
    this.#intervalBeganUs = nowUs
    this.#ignoreBeforeUs = nowUs
  }

  /** The present rate: whole bits per second, 1 Mbit/s to the cap (or the cap where that is lower). */
  get bitsPerSec(): number {
    return this.#bitsPerSec
  }

  /** Whether there was no trouble yet, and the cap is not reached: each interval may double the rate. */
  get isDoubling(): boolean {
    return this.#isStarting && this.#bitsPerSec < this.#capBitsPerSec
  }

  /** The transfer begins: what was sent before says nothing. */
  start(nowUs: number): void {
    this.#intervalBeganUs = nowUs
    this.#sent.length = 0
  }

  /** Changes the cap, as the constructor takes it; the rate falls at once when it is higher, and otherwise grows as before. */
  setCap(capBitsPerSec: number): void {
    this.#capBitsPerSec = Math.floor(capBitsPerSec)
    this.#set(this.#bitsPerSec)
  }

  /**
   * Takes a sample as it comes in and lowers the rate where it must.
   * @param grttUs the group's round-trip time
   */
  handleSample(nowUs: number, sample: PathSample, grttUs: number): void {
    const { receivedPackets, lostPackets, queuePercent, queueDelayUs } = sample
    const packets = receivedPackets + lostPackets
    if (sample.beganUs < this.#ignoreBeforeUs || packets === 0) return
    this.#heardCount++
    this.#roundTripUs = Math.max(this.#roundTripUs, sample.roundTripUs)
    if (queuePercent > HOLD_QUEUE_PERCENT) this.#isHeld = true
    if (this.#isOutage(nowUs, sample)) {
      this.#ignoreBeforeUs = nowUs + this.#intervalUs + Math.max(grttUs, sample.roundTripUs)
      this.#isHeld = true
      this.#isStarting = false
      this.#set(this.#bitsPerSec * OUTAGE_FALL_RATIO)
      return
    }
    const lossRatio = lostPackets / packets
    const isQueued = queueDelayUs > QUEUE_DELAY_US
    if (!isQueued) this.#worstLossRatio = Math.max(this.#worstLossRatio ?? 0, lossRatio)
    const isLossy = lostPackets > this.#toleratedLoss(packets, isQueued) || this.#isInVain(packets, lossRatio)
    if (queuePercent <= BACKOFF_QUEUE_PERCENT && !isLossy) return
    // What went out until now is still under way.
    this.#ignoreBeforeUs = nowUs + Math.max(grttUs, sample.roundTripUs)
    this.#isHeld = true
    if (isLossy && this.#isMediumLoss(lossRatio, isQueued)) return
    this.#isStarting = false
    const mostSent = Math.max(0, ...this.#sent.map(({ bitsPerSec }) => bitsPerSec))
    const tried = mostSent === 0 ? this.#bitsPerSec : Math.min(this.#bitsPerSec, mostSent * USED_MARGIN)
    const fallRatio = Math.max(DEEPEST_FALL_RATIO, FALL_RATIO - queueDelayUs / DRAIN_US)
    this.#set(tried * this.#throughRatio(nowUs, sample) * fallRatio)
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
      this.#grow()
      this.#falls = undefined
    }
    if (this.#worstLossRatio !== undefined) this.#learnMedium(this.#worstLossRatio)
    this.#sent.push({ fromUs: this.#intervalBeganUs, toUs: nowUs, bitsPerSec: sent })
    if (this.#sent.length > LATE_INTERVALS) this.#sent.shift()
    this.#intervalBeganUs = nowUs
    this.#heardCount = this.#roundTripUs = 0
    this.#worstLossRatio = undefined
    this.#isHeld = false
  }

  #isOutage(nowUs: number, { beganUs, lostPackets, roundTripUs }: PathSample): boolean {
    const mostBitsPerSec = Math.max(this.#bitsPerSec, ...this.#sent.map(({ bitsPerSec }) => bitsPerSec))
    const mostPackets = (mostBitsPerSec * (nowUs - beganUs + roundTripUs)) / 1e6 / this.#packetBits
    return lostPackets > OUTAGE_FACTOR * mostPackets + LUMP_PACKETS
  }

  /**
   * The share of what was sent that came in, but for what the medium loses anyway. Losses tell it late, by the slice, and do not tell
   * what a queue has taken in.
   */
  #throughRatio(nowUs: number, sample: PathSample): number {
    const { beganUs, receivedPackets, lostPackets, roundTripUs } = sample
    const mostKeptRatio = 1 - this.#mediumLossRatio
    const keptRatio = Math.min(1, receivedPackets / (receivedPackets + lostPackets) / mostKeptRatio)
    let [sentBits, coveredUs] = [0, 0]
    for (const { fromUs, toUs, bitsPerSec } of this.#sent) {
      const overlapUs = Math.max(0, Math.min(toUs, nowUs - roundTripUs) - Math.max(fromUs, beganUs - roundTripUs))
      sentBits += (bitsPerSec * overlapUs) / 1e6
      coveredUs += overlapUs
    }
    const elapsedUs = nowUs - beganUs
    if (coveredUs * 2 < elapsedUs) return keptRatio
    const receivedBits = (receivedPackets * this.#packetBits * coveredUs) / elapsedUs
    return Math.min(1, Math.max(keptRatio * LEAST_THROUGH_RATIO, receivedBits / Math.max(1, sentBits) / mostKeptRatio))
  }

  #grow(): void {
    if (this.#isStarting) {
      this.#set(this.#bitsPerSec * START_GROWTH_RATIO)
      return
    }
    const roundTripSec = Math.max(MIN_ROUND_TRIP_US, this.#roundTripUs) / 1e6
    const perSec = Math.max(this.#packetBits / roundTripSec ** 2, this.#bitsPerSec * LEAST_GROWTH_PER_SEC)
    const grown = this.#bitsPerSec + (perSec * this.#intervalUs) / 1e6
    this.#set(Math.min(grown, this.#bitsPerSec * MOST_GROWTH_RATIO))
  }

  /** What is lost in quiet times is the medium's own, but more than is tolerated only falls can show to be. */
  #learnMedium(lossRatio: number): void {
    const known = this.#mediumLossRatio
    if (lossRatio < known) this.#mediumLossRatio -= MEDIUM_DECAY * (known - lossRatio)
    else this.#mediumLossRatio += MEDIUM_RISE * Math.max(0, Math.min(lossRatio, TOLERATED_LOSS_RATIO) - known)
  }

  /** Takes a loss that is too high. True when it proves to be the medium's own: the falls before were in vain and are undone. */
  #isMediumLoss(lossRatio: number, isQueued: boolean): boolean {
    const excessRatio = lossRatio - this.#mediumLossRatio
    const before = this.#falls
    if (before === undefined || excessRatio < before.excessRatio * VAIN_RATIO) {
      const [bitsPerSec, isStarting] = [this.#bitsPerSec, this.#isStarting]
      this.#falls = { bitsPerSec, isStarting, excessRatio, worstLossRatio: lossRatio, count: 1 }
      return false
    }
    const worstLossRatio = Math.max(before.worstLossRatio, lossRatio)
    const fallCount = isQueued ? VAIN_QUEUED_FALL_COUNT : VAIN_FALL_COUNT
    if (before.count < fallCount || worstLossRatio > MAX_MEDIUM_LOSS_RATIO) {
      this.#falls = { ...before, worstLossRatio, count: before.count + 1 }
      return false
    }
    this.#mediumLossRatio = worstLossRatio
    this.#isStarting = before.isStarting
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
  #toleratedLoss(packets: number, isQueued: boolean): number {
    // Doubling overshoots by so much that it loses far more; less than this, with waits at busy hosts, would end it for nothing.
    const isTolerant = !isQueued || this.#isStarting
    const share = Math.max(isTolerant ? TOLERATED_LOSS_RATIO : 0, this.#mediumLossRatio * MEDIUM_MARGIN)
    const expected = Math.max(packets, LUMP_PACKETS) * share
    return expected + 3 * Math.sqrt(expected) + 1
  }

  #set(bitsPerSec: number): void {
    this.#bitsPerSec = Math.min(this.#capBitsPerSec, Math.max(FLOOR_BITS_PER_SEC, Math.round(bitsPerSec)))
  }
}
