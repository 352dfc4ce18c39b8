import type { World } from './world.ts'

const SEGMENT_BYTES = 1448

/** Segments that leave at once, as with segmentation offload. */
const BURST_SEGMENTS = 10
const BURST = new Uint8Array(SEGMENT_BYTES * BURST_SEGMENTS)

/** Constants of CUBIC: RFC 9438 section 5. */
const CUBIC_C = 0.4
const CUBIC_BETA = 0.7

/**
 * A TCP flow without end over the sender's uplink: the congestion control of CUBIC (RFC 9438), Reno's growth included, a window
 * that starts small, one fall a round trip for loss. Acknowledgements come back unhindered. It ends with the sender.
 */
export class TcpFlow {
  readonly #arrivals: { readonly atUs: number; readonly bytes: number }[] = []
  readonly #world: World
  readonly #backUs: number
  #windowSegments = BURST_SEGMENTS
  #inFlightSegments = 0
  #isSlowStart = true
  #lastMax = 0
  #epochUs = 0
  #roundTripUs: number
  #fellAtUs = -Infinity

  /** @param backUs time of an acknowledgement on its way back */
  constructor(world: World, backUs: number) {
    this.#world = world
    this.#backUs = backUs
    this.#roundTripUs = 2 * backUs
    world.schedule(world.nowUs, () => this.#send())
  }

  /** What came through between two times, headers left out. */
  bitsPerSec(fromUs: number, toUs: number): number {
    const arrived = this.#arrivals.filter(({ atUs }) => atUs >= fromUs && atUs < toUs)
    return (arrived.reduce((sum, { bytes }) => sum + bytes, 0) * 8e6) / (toUs - fromUs)
  }

  #send(): void {
    const world = this.#world
    const sentUs = world.nowUs
    while (world.sender.isRunning && this.#inFlightSegments + BURST_SEGMENTS <= this.#windowSegments) {
      this.#inFlightSegments += BURST_SEGMENTS
      let bytes = 0
      let lastUs = sentUs
      world.network.crossUplink(sentUs, BURST, SEGMENT_BYTES, (atUs, segment) => {
        bytes += segment.length
        lastUs = Math.max(lastUs, atUs)
      })
      const lostSegments = BURST_SEGMENTS - bytes / SEGMENT_BYTES
      // Of a burst of which nothing came, what comes after it tells.
      const heardUs = bytes === 0 ? sentUs + this.#roundTripUs : lastUs + this.#backUs
      world.schedule(heardUs, () => this.#hear(sentUs, lastUs, bytes, lostSegments))
    }
  }

  #hear(sentUs: number, arrivedUs: number, bytes: number, lostSegments: number): void {
    const nowUs = this.#world.nowUs
    this.#inFlightSegments -= BURST_SEGMENTS
    if (bytes > 0) {
      this.#roundTripUs = nowUs - sentUs
      this.#arrivals.push({ atUs: arrivedUs, bytes })
    }
    if (lostSegments === 0) this.#grow(nowUs)
    else if (sentUs >= this.#fellAtUs) this.#fall(nowUs)
    this.#send()
  }

  #fall(nowUs: number): void {
    this.#isSlowStart = false
    this.#lastMax = this.#windowSegments
    this.#windowSegments = Math.max(BURST_SEGMENTS, this.#windowSegments * CUBIC_BETA)
    this.#fellAtUs = this.#epochUs = nowUs
  }

  #grow(nowUs: number): void {
    if (this.#isSlowStart) {
      this.#windowSegments += BURST_SEGMENTS
      return
    }
    const k = Math.cbrt((this.#lastMax * (1 - CUBIC_BETA)) / CUBIC_C)
    const atSec = (nowUs + this.#roundTripUs - this.#epochUs) / 1e6
    const target = Math.min(CUBIC_C * (atSec - k) ** 3 + this.#lastMax, this.#windowSegments * 1.5)
    const cubic = Math.max(0, target - this.#windowSegments) / this.#windowSegments
    // Reno's growth with a fall to 0.7: RFC 9438 section 4.3.
    const reno = (3 * (1 - CUBIC_BETA)) / (1 + CUBIC_BETA) / this.#windowSegments
    this.#windowSegments += BURST_SEGMENTS * Math.max(cubic, reno)
  }
}
