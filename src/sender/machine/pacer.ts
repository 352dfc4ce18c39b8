import {
  formatId,
  MIN_REPORT_INTERVAL_MS,
  REPORT_INTERVAL_MS,
  type Id64,
  type Micros,
  type Report,
} from '../../protocol/index.ts'
import {
  AdaptiveRate,
  batchBytes,
  burstBytes,
  catchUpBytes,
  ReportSampler,
  TokenBucket,
} from '../../ratelimit/index.ts'

/** Share of the rate that answers may take, and how much of them may go out at once, bytes: some 15 of the largest. Ours. */
const ANSWER_SHARE = 0.1
const ANSWER_DEPTH_BYTES = 8192

/** For so long after the start reports may come faster, microseconds: the rate may never meet trouble. Ours. */
const SEEK_US = 1_000_000

/** Round trips that such a report interval has at least: what it tells is of the rate before it. Ours. */
const SEEK_ROUND_TRIPS = 4

const answerRate = (bitsPerSec: number): number => Math.max(1, Math.floor(bitsPerSec * ANSWER_SHARE))

/** When and how much may be sent: the one token bucket that everything goes through, at the rate that reports allow. */
export class Pacer {
  readonly #packetWireBytes: number
  readonly #rate: AdaptiveRate
  readonly #bucket: TokenBucket
  #isBusy = false
  /** What may be said in answer to receivers, without headers: a tenth of the rate. Its packets are counted by {@link spend}, too. */
  readonly answers: TokenBucket
  #intervalBeganUs: Micros
  #intervalEndUs: Micros
  #intervalBytes = 0
  /** Until then the rate is sought; in the past before the start. */
  #seekEndUs: Micros = 0
  /** By receiver. Bounded by the roster, which knows all of them. */
  readonly #samplers = new Map<string, ReportSampler>()

  /** @param packetWireBytes bytes of the largest packet, IP and UDP headers included */
  constructor(nowUs: Micros, packetWireBytes: number, capBitsPerSec: number | undefined) {
    this.#packetWireBytes = packetWireBytes
    this.#rate = new AdaptiveRate(nowUs, packetWireBytes, capBitsPerSec)
    const { bitsPerSec } = this.#rate
    this.#bucket = new TokenBucket(nowUs, bitsPerSec, burstBytes(bitsPerSec, packetWireBytes))
    this.answers = new TokenBucket(nowUs, answerRate(bitsPerSec), ANSWER_DEPTH_BYTES)
    this.#intervalBeganUs = nowUs
    this.#intervalEndUs = nowUs
  }

  get bitsPerSec(): number {
    return this.#rate.bitsPerSec
  }

  /** Packets of the largest size that the rate allows in a second. */
  get packetsPerSec(): number {
    return this.#rate.bitsPerSec / (8 * this.#packetWireBytes)
  }

  /** The transfer begins: what was sent before says nothing about the rate. */
  start(nowUs: Micros): void {
    this.#rate.start(nowUs)
    this.#intervalBytes = 0
    this.#intervalBeganUs = nowUs
    this.#intervalEndUs = nowUs + MIN_REPORT_INTERVAL_MS * 1000
    this.#seekEndUs = nowUs + SEEK_US
  }

  /** The report interval to ask of a small group, milliseconds: shorter while the rate doubles from one to the next. */
  leastReportIntervalMs(nowUs: Micros, grttUs: number): number {
    if (nowUs >= this.#seekEndUs || !this.#rate.isDoubling) return REPORT_INTERVAL_MS
    const roundTripsMs = Math.ceil((SEEK_ROUND_TRIPS * grttUs) / 1000)
    return Math.min(REPORT_INTERVAL_MS, Math.max(MIN_REPORT_INTERVAL_MS, roundTripsMs))
  }

  /** Packets that one run may hold: a millisecond of the rate, and at least one. */
  get batchPackets(): number {
    return Math.floor(batchBytes(this.#rate.bitsPerSec, this.#packetWireBytes) / this.#packetWireBytes)
  }

  /** When that many packets of the largest size may go out; in the past when they may now. */
  readyAtUs(nowUs: Micros, packetCount: number): Micros {
    const bytes = packetCount * this.#packetWireBytes
    if (this.#bucket.available(nowUs) >= bytes) return nowUs
    return this.#bucket.readyAtUs(bytes)
  }

  /**
   * Whether there is more to send than may be sent. While there is, the sender that is held up catches up; what it does not use for
   * want of data is lost.
   */
  setBusy(nowUs: Micros, isBusy: boolean): void {
    if (isBusy === this.#isBusy) return
    this.#isBusy = isBusy
    this.#fitBucket(nowUs)
  }

  /** Counts what was sent; {@link readyAtUs} must have allowed it. */
  spend(nowUs: Micros, wireBytes: number): void {
    this.#bucket.take(nowUs, wireBytes)
    this.#intervalBytes += wireBytes
  }

  setCap(nowUs: Micros, capBitsPerSec: number): void {
    this.#rate.setCap(capBitsPerSec)
    this.#apply(nowUs)
  }

  /** Takes a report of a receiver that counts. */
  handleReport(nowUs: Micros, report: Report, grttUs: number): void {
    const key = formatId(report.receiver)
    let sampler = this.#samplers.get(key)
    if (sampler === undefined) this.#samplers.set(key, (sampler = new ReportSampler(nowUs)))
    const { echoSentAtUs, echoHeldUs } = report
    const roundTripUs = echoSentAtUs === 0 ? undefined : Math.max(0, ((nowUs - echoSentAtUs) >>> 0) - echoHeldUs)
    const sample = sampler.add(nowUs, { ...report, roundTripUs }, this.#intervalEndUs - this.#intervalBeganUs)
    if (sample === undefined) return
    this.#rate.handleSample(nowUs, sample, grttUs)
    this.#apply(nowUs)
  }

  /** A receiver is no longer there. */
  forget(receiver: Id64): void {
    this.#samplers.delete(formatId(receiver))
  }

  /**
   * To be called often: ends an interval of the rate control when it is as long as the receivers' report interval.
   * @returns bits per second sent in the interval that ended; undefined when none did, or when it was so short that the next reports
   *   do not tell yet whether that could be taken
   */
  tick(nowUs: Micros, reportIntervalMs: number): number | undefined {
    if (nowUs < this.#intervalEndUs) return undefined
    const intervalUs = nowUs - this.#intervalBeganUs
    const sentBitsPerSec = intervalUs === 0 ? 0 : (this.#intervalBytes * 8e6) / intervalUs
    this.#rate.handleInterval(nowUs, this.#intervalBytes)
    this.#intervalBytes = 0
    this.#intervalBeganUs = nowUs
    this.#intervalEndUs = nowUs + reportIntervalMs * 1000
    this.#apply(nowUs)
    return intervalUs < REPORT_INTERVAL_MS * 1000 ? undefined : sentBitsPerSec
  }

  #apply(nowUs: Micros): void {
    const { bitsPerSec } = this.#rate
    if (bitsPerSec === this.#bucket.bitsPerSec) return
    this.#fitBucket(nowUs)
    this.answers.setRate(nowUs, answerRate(bitsPerSec))
  }

  #fitBucket(nowUs: Micros): void {
    const { bitsPerSec } = this.#rate
    const depthBytes = (this.#isBusy ? catchUpBytes : burstBytes)(bitsPerSec, this.#packetWireBytes)
    this.#bucket.setRate(nowUs, bitsPerSec, depthBytes)
  }
}
