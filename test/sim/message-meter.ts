import { decodeControl, type ControlMessage } from '../../src/protocol/index.ts'

/** Counts the messages that reach the sender. */
export class MessageMeter {
  /** By kind. */
  readonly counts: Map<ControlMessage['kind'], number> = new Map<ControlMessage['kind'], number>()
  /** Arrival times, ascending. */
  readonly #timesUs: number[] = []

  /** Takes one packet. The clock never goes back. */
  note(nowUs: number, packet: Uint8Array): void {
    const message = decodeControl(packet, 0, packet.length)
    if (typeof message === 'string') throw new Error(`a packet for the sender is ${message}`)
    this.counts.set(message.kind, (this.counts.get(message.kind) ?? 0) + 1)
    this.#timesUs.push(nowUs)
  }

  get count(): number {
    return this.#timesUs.length
  }

  /** The most messages in any one second, wherever it begins. */
  get busiestSecondCount(): number {
    let most = 0
    let oldest = 0
    for (const [index, timeUs] of this.#timesUs.entries()) {
      while (this.#timesUs[oldest]! <= timeUs - 1e6) oldest++
      most = Math.max(most, index - oldest + 1)
    }
    return most
  }
}
