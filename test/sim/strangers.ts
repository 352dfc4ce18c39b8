import {
  encodeControl,
  hasSession,
  imageTag,
  sessionAt,
  type ControlMessage,
  type Id64,
} from '../../src/protocol/index.ts'
import type { World } from './world.ts'

/** Somebody on the network who is no part of the session, but hears it: speaks to the sender from any address. */
export class Stranger {
  readonly #world: World
  #session: Id64 = { high: 0, low: 0 }
  /** Bytes that it has sent, without headers. */
  sentBytes = 0

  constructor(world: World) {
    this.#world = world
  }

  /** Hears what the sender sends: the session's id is in every packet. */
  hear(bytes: Uint8Array): void {
    if (!hasSession(bytes, 0, this.#session)) this.#session = sessionAt(bytes, 0)
  }

  /** @param address any number: as many addresses */
  say(message: ControlMessage, address = 9999): void {
    this.sayBytes(encodeControl(message, this.#session, imageTag('image')), address)
  }

  sayBytes(bytes: Uint8Array, address = 9999): void {
    const { sender, nowUs } = this.#world
    this.sentBytes += bytes.length
    if (sender.isRunning) sender.handleDatagram(nowUs, bytes, address)
  }

  /** Does something so many times, every `gapUs` from `fromUs` on, as long as the sender runs. */
  repeat(fromUs: number, gapUs: number, times: number, act: (time: number) => void): void {
    const step = (time: number): void => {
      if (time === times || !this.#world.sender.isRunning) return
      act(time)
      this.#world.schedule(this.#world.nowUs + gapUs, () => step(time + 1))
    }
    this.#world.schedule(fromUs, () => step(0))
  }
}

export const madeUp = (low: number): Id64 => ({ high: 0xbad, low: low + 1 })
