import type { EventQueue } from './event-queue.ts'
import type { Arrival } from './network.ts'

/** Time to look at a party again, because its machine asked for it. */
interface Wake {
  readonly kind: 'wake'
  readonly atUs: number
  order: number
  readonly party: Party
}

/** A party's disk has read or written a slice. */
interface DiskDone {
  readonly kind: 'disk'
  readonly atUs: number
  order: number
  readonly party: Party
  readonly slice: number
  readonly frame: Uint8Array
}

/** Something that a test wants to happen at that time. */
interface Appointment {
  readonly kind: 'appointment'
  readonly atUs: number
  order: number
  readonly then: () => void
}

export type SimEvent = Arrival | Wake | DiskDone | Appointment
export type SimQueue = EventQueue<SimEvent>

/** A machine with the part of its driver played: everything outside the protocol that a real program would do around it. */
export interface Party {
  /** False once it is over or was killed: nothing reaches it any more. */
  readonly isRunning: boolean
  handleDatagram(nowUs: number, bytes: Uint8Array, from: number): void
  handleWake(nowUs: number): void
  handleDisk(nowUs: number, slice: number, frame: Uint8Array): void
}

/** Rounds of a machine's events and packets at one moment that are no longer work but a livelock. */
const MAX_ROUNDS = 100_000

/**
 * Does for a machine what `Machine` asks of its driver after each input: takes its events and packets until there are none, then
 * sees to it that it is woken at its deadline.
 */
export class Pump {
  readonly #queue: SimQueue
  readonly #party: Party
  /** Time of the earliest wake in the queue that is still to come. */
  #wakeUs = Infinity

  constructor(queue: SimQueue, party: Party) {
    this.#queue = queue
    this.#party = party
  }

  /**
   * @param takeEvent handles one event of the machine; false: there was none
   * @param takePacket sends one packet or run; false: there was none
   * @param deadline the machine's `pollTimeout`
   */
  run(nowUs: number, takeEvent: () => boolean, takePacket: () => boolean, deadline: () => number | undefined): void {
    for (let rounds = 0, isBusy = true; isBusy; rounds++) {
      if (rounds > MAX_ROUNDS) throw new Error(`livelock at ${nowUs} us: a machine never stops sending`)
      while (takeEvent());
      isBusy = takePacket()
      // A poll that sends nothing may still bring events.
      isBusy = takeEvent() || isBusy
    }
    if (!this.#party.isRunning) return
    const nextUs = deadline()
    if (nextUs === undefined || nextUs === Infinity) return
    // A real driver would spin: the machine has just been asked, and had nothing to do.
    if (!(nextUs > nowUs))
      throw new Error(`at ${nowUs} us a machine asks to be woken at ${nextUs} us, which has passed`)
    const atUs = Math.ceil(nextUs)
    if (this.#wakeUs <= atUs) return
    this.#wakeUs = atUs
    this.#queue.push({ kind: 'wake', atUs, order: 0, party: this.#party })
  }

  /** A wake has come: whether it is still wanted. One that was overtaken by an earlier one is not. */
  takeWake(nowUs: number): boolean {
    if (nowUs < this.#wakeUs) return false
    this.#wakeUs = Infinity
    return true
  }
}
