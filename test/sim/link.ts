import { DATA_HEADER_BYTES, PacketType, packetTypeAt } from '../../src/protocol/index.ts'
import type { Random } from '../../src/random.ts'

/** How one direction of a network path treats packets. Everything left out does not happen. */
export interface LinkSpec {
  /** Share of packets lost, each by its own fate, 0 to 1. */
  readonly lossRatio?: number
  /** Losses in bursts (Gilbert-Elliott): chances to enter and to leave a burst at each packet, and to be lost inside one. */
  readonly bursts?: { readonly enterRatio: number; readonly leaveRatio: number; readonly lossRatio: number }
  /** Time on the way, microseconds. */
  readonly delayUs?: number
  /** Each packet takes up to this much longer, so that packets overtake each other. */
  readonly jitterUs?: number
  /** Share of packets that come twice. */
  readonly duplicateRatio?: number
  /** Share of packets that come late by `reorderUs` (default 2000). */
  readonly reorderRatio?: number
  readonly reorderUs?: number
  /** Share of data packets in which one bit of the symbol is turned over: one that slips through UDP's checksum. */
  readonly corruptRatio?: number
  /** The link carries this much, and holds `queueBytes` (default 256 KiB) that wait; what does not fit is lost. */
  readonly bitsPerSec?: number
  readonly queueBytes?: number
}

/** Where a link puts what it delivers: the time, and a packet or several of the same size back to back. */
export type Deliver = (atUs: number, bytes: Uint8Array) => void

/** Bytes of headers that count towards the link's rate. */
const OVERHEAD_BYTES = 28

/** One direction of one path, with its own dice. */
export class Link {
  readonly #spec: LinkSpec
  readonly #random: Random
  /** True when packets of one run stay together: nothing moves them against each other. */
  readonly #isPlain: boolean
  /** Packets until the next lost one. */
  #untilLoss: number
  #isInBurst = false
  #freeAtUs = 0

  constructor(spec: LinkSpec, random: Random) {
    this.#spec = spec
    this.#random = random
    const { jitterUs = 0, duplicateRatio = 0, reorderRatio = 0, corruptRatio = 0 } = spec
    this.#isPlain = jitterUs + duplicateRatio + reorderRatio + corruptRatio === 0 && spec.bitsPerSec === undefined
    this.#untilLoss = this.#drawGap()
  }

  /** Takes a run of packets of `segmentBytes` each (the last may be shorter) and delivers what survives. `bytes` is shared. */
  carry(nowUs: number, bytes: Uint8Array, segmentBytes: number, deliver: Deliver): void {
    if (!this.#isPlain) {
      for (let at = 0; at < bytes.length; at += segmentBytes) {
        if (!this.isLost()) this.#carryPacket(nowUs, bytes.subarray(at, at + segmentBytes), deliver)
      }
      return
    }
    const atUs = nowUs + (this.#spec.delayUs ?? 0)
    let from = 0
    for (let at = 0; at < bytes.length; at += segmentBytes) {
      if (!this.isLost()) continue
      if (at > from) deliver(atUs, bytes.subarray(from, at))
      from = at + segmentBytes
    }
    if (from === 0) deliver(atUs, bytes)
    else if (from < bytes.length) deliver(atUs, bytes.subarray(from))
  }

  /** Draws the fate of the next packet. */
  isLost(): boolean {
    const { bursts } = this.#spec
    let isLost = false
    if (--this.#untilLoss < 0) {
      this.#untilLoss = this.#drawGap()
      isLost = true
    }
    if (bursts !== undefined) {
      const chance = this.#isInBurst ? bursts.leaveRatio : bursts.enterRatio
      if (this.#random() < chance) this.#isInBurst = !this.#isInBurst
      if (this.#isInBurst && this.#random() < bursts.lossRatio) isLost = true
    }
    return isLost
  }

  /** The number of packets before the next lost one: drawing gaps is cheaper than drawing each packet's fate. */
  #drawGap(): number {
    const { lossRatio = 0 } = this.#spec
    if (lossRatio <= 0) return Infinity
    if (lossRatio >= 1) return 0
    return Math.floor(Math.log(1 - this.#random()) / Math.log(1 - lossRatio))
  }

  #carryPacket(nowUs: number, packet: Uint8Array, deliver: Deliver): void {
    const {
      delayUs = 0,
      jitterUs = 0,
      duplicateRatio = 0,
      reorderRatio = 0,
      reorderUs = 2000,
      corruptRatio = 0,
    } = this.#spec
    const sentUs = this.#queue(nowUs, packet.length + OVERHEAD_BYTES)
    if (sentUs === undefined) return
    let arrivesUs = sentUs + delayUs
    if (jitterUs > 0) arrivesUs += Math.floor(this.#random() * jitterUs)
    if (reorderRatio > 0 && this.#random() < reorderRatio) arrivesUs += reorderUs
    const isCorrupt = corruptRatio > 0 && this.#random() < corruptRatio
    deliver(arrivesUs, isCorrupt ? this.#corrupted(packet) : packet)
    if (duplicateRatio > 0 && this.#random() < duplicateRatio)
      deliver(arrivesUs + Math.floor(this.#random() * 1000), packet)
  }

  /** When the last bit of a packet of that size has left the queue; undefined when the queue is full. */
  #queue(nowUs: number, bytes: number): number | undefined {
    const { bitsPerSec, queueBytes = 262_144 } = this.#spec
    if (bitsPerSec === undefined) return nowUs
    const waitUs = Math.max(0, this.#freeAtUs - nowUs)
    if ((waitUs * bitsPerSec) / 8e6 + bytes > queueBytes) return undefined
    this.#freeAtUs = nowUs + waitUs + (bytes * 8e6) / bitsPerSec
    return Math.ceil(this.#freeAtUs)
  }

  #corrupted(packet: Uint8Array): Uint8Array {
    if (packetTypeAt(packet, 0, packet.length) !== PacketType.data) return packet
    const copy = packet.slice()
    const at = DATA_HEADER_BYTES + Math.floor(this.#random() * (copy.length - DATA_HEADER_BYTES))
    copy[at]! ^= 1 << Math.floor(this.#random() * 8)
    return copy
  }
}
