/** What one receiver says of the time since its report before. */
export interface RateReport {
  readonly receivedPackets: number
  readonly lostPackets: number
  /** Share of its buffers in use, 0 to 100. */
  readonly queuePercent: number
  /** Time from sender to receiver and back, waits in queues included, microseconds; undefined when the report does not tell. */
  readonly roundTripUs: number | undefined
}

/** What several reports of one receiver say together: enough to judge the path to it. */
export interface PathSample {
  /** Nothing of the time before is in it. */
  readonly beganUs: number
  readonly receivedPackets: number
  readonly lostPackets: number
  /** The highest of the reports, 0 to 100. */
  readonly queuePercent: number
  /** Round trip of late, and how much of it is waits in queues, microseconds; 0 when not known. */
  readonly roundTripUs: number
  readonly queueDelayUs: number
}

/**
 * A sample covers this share of the report interval, within these bounds, microseconds: reports that a busy host held up come in
 * bunches, and a bunch says little. Ours.
 */
const SAMPLE_SHARE = 0.8
const MIN_SAMPLE_US = 20_000
const MAX_SAMPLE_US = 80_000

/** A sample has so many packets, or is old. Losses are counted slice by slice: two of the default size tell. Ours. */
const SAMPLE_PACKETS = 400
const OLD_SAMPLE_US = 1_000_000

/** A report that comes so much later than the one before, in intervals, follows others that were lost. Ours. */
const GAP_INTERVALS = 5

/** Reports whose shortest round trip counts: a busy event loop delays one, a queue on the way all of them. Ours. */
const ROUND_TRIP_REPORTS = 3

/** Puts the reports of one receiver together. */
export class ReportSampler {
  #beganUs: number
  #reportedUs: number
  #receivedPackets = 0
  #lostPackets = 0
  #queuePercent = 0
  readonly #roundTripsUs: number[] = []
  /** The shortest ever: the way without queues. */
  #leastRoundTripUs = Infinity

  /** @param nowUs when the first report's time began, or later */
  constructor(nowUs: number) {
    this.#beganUs = this.#reportedUs = nowUs
  }

  /**
   * Takes a report.
   * @param intervalUs time between two reports: of so long each tells
   * @returns a sample when there is enough for one; the next begins then
   */
  add(nowUs: number, report: RateReport, intervalUs: number): PathSample | undefined {
    if (nowUs - this.#reportedUs > Math.max(OLD_SAMPLE_US, GAP_INTERVALS * intervalUs)) this.#begin(nowUs - intervalUs)
    this.#reportedUs = nowUs
    this.#receivedPackets += report.receivedPackets
    this.#lostPackets += report.lostPackets
    this.#queuePercent = Math.max(this.#queuePercent, report.queuePercent)
    if (report.roundTripUs !== undefined) this.#noteRoundTrip(report.roundTripUs)
    const packets = this.#receivedPackets + this.#lostPackets
    // Nothing was sent, or all of it was lost, which later packets will tell.
    if (packets === 0) this.#beganUs = nowUs
    const elapsedUs = nowUs - this.#beganUs
    const sampleUs = Math.min(MAX_SAMPLE_US, Math.max(MIN_SAMPLE_US, SAMPLE_SHARE * intervalUs))
    if (elapsedUs < sampleUs || (packets < SAMPLE_PACKETS && elapsedUs < OLD_SAMPLE_US)) return undefined
    const roundTripUs = this.#roundTripsUs.length === 0 ? 0 : Math.min(...this.#roundTripsUs)
    const sample: PathSample = {
      beganUs: this.#beganUs,
      receivedPackets: this.#receivedPackets,
      lostPackets: this.#lostPackets,
      queuePercent: this.#queuePercent,
      roundTripUs,
      queueDelayUs: roundTripUs === 0 ? 0 : roundTripUs - this.#leastRoundTripUs,
    }
    this.#begin(nowUs)
    return sample
  }

  #begin(nowUs: number): void {
    this.#beganUs = nowUs
    this.#receivedPackets = this.#lostPackets = this.#queuePercent = 0
  }

  #noteRoundTrip(roundTripUs: number): void {
    this.#leastRoundTripUs = Math.min(this.#leastRoundTripUs, roundTripUs)
    this.#roundTripsUs.push(roundTripUs)
    if (this.#roundTripsUs.length > ROUND_TRIP_REPORTS) this.#roundTripsUs.shift()
  }
}
