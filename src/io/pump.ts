import { SkilfishError } from '../errors.ts'
import { monotonicUs } from './clock.ts'
import { isTransientSendError } from './network-error.ts'
import type { UdpSocket } from './udp-socket.ts'

/** What the pump needs of a protocol machine; times are microseconds of {@link monotonicUs}. */
export interface PumpedMachine {
  handleDatagram(nowUs: number, from: { readonly address: string; readonly port: number }, bytes: Uint8Array): void
  handleTimeout(nowUs: number): void
  pollTransmit(
    nowUs: number,
    into: Uint8Array,
  ): { bytes: number; segmentBytes: number; to?: { address: string; port: number } } | undefined
  pollTimeout(): number | undefined
}

export interface PumpHooks {
  /** The machine may have events: called after every input and after every batch of packets. */
  readonly onProgress: () => void
  /** A packet could not be sent, for a reason that will not pass by itself. */
  readonly onError: (error: Error) => void
}

/** Sends under way at once: enough to keep the kernel busy between two turns of the event loop. Bounds memory to 8 × 64 KiB. */
const MAX_SENDS = 8

/** Bytes of a send buffer: the largest UDP datagram over IPv4. */
const BUFFER_BYTES = 65_507

/** How long a send that failed in passing (no buffers, interface down) waits, milliseconds. */
const RETRY_MS = 10

/** Joins a protocol machine to a socket and a timer. Sleeps when there is nothing to do; never spins. */
export class MachinePump {
  readonly #machine: PumpedMachine
  readonly #socket: UdpSocket
  readonly #hooks: PumpHooks
  readonly #free: { readonly buffer: Uint8Array; readonly done: (error?: Error | null) => void }[] = []
  #sendCount = 0
  #timer: NodeJS.Timeout | undefined
  #timerUs = Infinity
  #isRunning = false
  #isStopped = false
  #isHeld = false
  #hasSent = false
  /** There is more to send in the next turn of the event loop. */
  #goesOn = false
  #idle: (() => void) | undefined

  constructor(machine: PumpedMachine, socket: UdpSocket, hooks: PumpHooks) {
    this.#machine = machine
    this.#socket = socket
    this.#hooks = hooks
    socket.onMessage = (bytes, from) => {
      if (!this.#isStopped) machine.handleDatagram(monotonicUs(), from, bytes)
    }
    socket.onBatchEnd = () => this.run()
  }

  /** Lets everything out that the machine has, then sets the timer. To be called after each command to the machine. */
  run(): void {
    if (this.#isRunning || this.#isStopped) return
    this.#isRunning = true
    this.#hooks.onProgress()
    this.#send()
    this.#isRunning = false
    if (this.#sendCount === 0 && !this.#goesOn) this.#idle?.()
    this.#schedule()
  }

  /** Resolves when nothing is being sent and the machine has nothing to send now. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle = resolve
      this.run()
    })
  }

  /** Ends the timer and ignores what comes in. */
  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#idle?.()
  }

  #send(): void {
    let left = MAX_SENDS
    while (this.#sendCount < MAX_SENDS && !this.#isStopped && !this.#isHeld) {
      if (left-- === 0) {
        this.#goOnSoon()
        return
      }
      const slot = this.#free.pop() ?? this.#slot()
      const transmit = this.#machine.pollTransmit(monotonicUs(), slot.buffer)
      this.#hooks.onProgress()
      if (transmit === undefined) {
        this.#free.push(slot)
        return
      }
      const { bytes, segmentBytes, to } = transmit
      const sentBytes = to === undefined ? this.#socket.sendToGroupNow(slot.buffer, bytes, segmentBytes) : 0
      if (sentBytes === bytes) {
        this.#hasSent = true
        this.#free.push(slot)
        continue
      }
      this.#sendCount++
      if (to !== undefined) this.#socket.sendTo(slot.buffer, bytes, to.address, to.port, slot.done)
      else this.#socket.sendToGroup(slot.buffer.subarray(sentBytes), bytes - sentBytes, segmentBytes, slot.done)
    }
  }

  /** What comes in, and timers, have their turn first. */
  #goOnSoon(): void {
    if (this.#goesOn) return
    this.#goesOn = true
    setImmediate(() => {
      this.#goesOn = false
      this.run()
    })
  }

  #slot(): { buffer: Uint8Array; done: (error?: Error | null) => void } {
    const slot = {
      buffer: new Uint8Array(BUFFER_BYTES),
      done: (error?: Error | null): void => {
        this.#sendCount--
        this.#free.push(slot)
        if (error) this.#handleError(error)
        else this.#hasSent = true
        this.run()
      },
    }
    return slot
  }

  #handleError(error: Error): void {
    if (this.#isStopped) return
    // A route that was there and has gone comes back with the interface.
    const isPassing = this.#hasSent && error instanceof SkilfishError && error.code === 'NO_MULTICAST_ROUTE'
    if (!isPassing && !isTransientSendError(error)) {
      this.#hooks.onError(error)
      return
    }
    // The packet is lost as if on the wire; waiting keeps a dead interface from eating the whole image.
    this.#isHeld = true
    setTimeout(() => {
      this.#isHeld = false
      this.run()
    }, RETRY_MS).unref()
  }

  #schedule(): void {
    if (this.#isStopped || this.#goesOn) return
    const dueUs = this.#sendCount >= MAX_SENDS ? undefined : this.#machine.pollTimeout()
    // A timer that fires too early does no harm; setting it anew with each packet costs more.
    if (dueUs === undefined || dueUs >= this.#timerUs) return
    clearTimeout(this.#timer)
    this.#timerUs = dueUs
    const waitMs = Math.max(1, Math.ceil((dueUs - monotonicUs()) / 1000))
    this.#timer = setTimeout(this.#onTimer, Math.min(waitMs, 60_000))
  }

  readonly #onTimer = (): void => {
    this.#timerUs = Infinity
    this.#machine.handleTimeout(monotonicUs())
    this.run()
  }
}
