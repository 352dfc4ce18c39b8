import {
  DATA_HEADER_BYTES,
  decodeControl,
  encodeControl,
  imageTag,
  PacketType,
  packetTypeAt,
  planGeometry,
  sliceIndexAt,
  symbolIndexAt,
  type ControlMessage,
  type Id64,
  type Nack,
  type Report,
} from '../../../src/protocol/index.ts'
import { SenderMachine, type SenderEvent, type SenderMachineOptions } from '../../../src/sender/machine/index.ts'

export const SESSION: Id64 = { high: 1, low: 2 }

/** Source symbols of each slice that {@link HandDriven} gives: 16 KiB in packets of MTU 1500. */
export const SYMBOLS = 12

export const receiver = (low: number): Id64 => ({ high: 9, low })

/** A sender's machine driven by hand: time stands still but for `at`, and what is sent is kept. */
export class HandDriven {
  readonly machine: SenderMachine
  nowUs = 0
  /** Slices and symbols of the data packets sent so far. */
  readonly data: { readonly slice: number; readonly symbol: number; readonly atUs: number; readonly body: number }[] =
    []
  readonly control: ControlMessage[] = []
  readonly events: SenderEvent[] = []
  /** Slices that are asked for and not yet given. */
  readonly wanted: number[] = []
  readonly released: Uint8Array[] = []
  readonly sliceCount: number
  #nextSlice = 0
  readonly #into = new Uint8Array(65_536)

  /** @param sliceCount slices of the image */
  constructor(sliceCount: number, given: Partial<SenderMachineOptions> = {}) {
    this.sliceCount = sliceCount
    this.machine = new SenderMachine(0, {
      ...{ session: SESSION, imageId: 'image', imageName: 'name', imageBytes: sliceCount * 16_384, codec: 0 },
      geometry: planGeometry({ family: 4, sliceBytes: 16_384 }),
      ...{
        overheadBytes: 28,
        windowSlices: 16,
        canReread: true,
        minReceivers: 1,
        minWaitUs: 0,
      },
      ...{ maxWaitUs: undefined, startTimeoutUs: undefined, receiverTimeoutUs: 5_000_000, onSlow: 'defer', fec: 'off' },
      maxBitrate: 1_000_000_000,
      encoder: {
        load: () => undefined,
        parityInto: (symbol, into, offset) => into.fill(symbol, offset, offset + 1448),
      },
      ...given,
    })
    this.drain()
  }

  /** Takes all that the machine has for its driver and for the network. */
  drain(): void {
    for (;;) {
      this.#takeEvents()
      const sent = this.machine.pollTransmit(this.nowUs, this.#into)
      if (sent === undefined) break
      for (let at = 0; at < sent.bytes; at += sent.segmentBytes) {
        this.#note(at, Math.min(sent.segmentBytes, sent.bytes - at))
      }
    }
    this.#takeEvents()
  }

  /** Gives all slices that are asked for, and the end after the last, until nothing more is wanted. */
  feed(): void {
    while (this.wanted.length > 0) {
      const slice = this.wanted.shift()!
      if (slice < this.sliceCount) {
        this.machine.handleCommand(this.nowUs, { kind: 'frame', slice, frame: frameOf(slice) })
      } else if (slice === this.sliceCount) {
        const imageBytes = this.sliceCount * 16_384
        const end = { sliceCount: this.sliceCount, imageBytes, dataBytes: imageBytes, rootDigest: new Uint8Array(32) }
        this.machine.handleCommand(this.nowUs, { kind: 'end', end })
      }
      this.drain()
    }
  }

  /** Lets time pass until `nowUs`, with every timeout on the way, and feeds what is asked for. */
  until(nowUs: number): void {
    this.feed()
    for (let steps = 0; ; steps++) {
      const next = this.machine.pollTimeout() ?? Infinity
      if (next <= this.nowUs || steps > 1_000_000) throw new Error(`deadline ${next} at ${this.nowUs} us`)
      if (next > nowUs) break
      this.nowUs = next
      this.machine.handleTimeout(next)
      this.drain()
      this.feed()
    }
    this.nowUs = nowUs
  }

  /** A message comes in. */
  hear(message: ControlMessage, address = '10.0.0.1'): void {
    this.hearBytes(encodeControl(message, SESSION, imageTag('image')), address)
  }

  hearBytes(bytes: Uint8Array, address = '10.0.0.1'): void {
    this.machine.handleDatagram(this.nowUs, { address, port: 1 }, bytes)
    this.drain()
    this.feed()
  }

  join(...lows: readonly number[]): void {
    for (const low of lows) this.hear({ kind: 'join', receiver: receiver(low), name: `host-${low}` })
  }

  report(low: number, given: Partial<Report>): void {
    this.hear({
      ...{ kind: 'report', receiver: receiver(low), name: `host-${low}`, settledCount: 0, settledBelow: 0 },
      ...{ receivedPackets: 100, lostPackets: 0, queuePercent: 0, echoSentAtUs: 0, echoHeldUs: 0 },
      ...given,
    })
  }

  done(...lows: readonly number[]): void {
    for (const low of lows) this.hear({ kind: 'done', receiver: receiver(low), name: `host-${low}` })
  }

  /** Messages of that kind sent so far. */
  said<Kind extends ControlMessage['kind']>(kind: Kind): Extract<ControlMessage, { kind: Kind }>[] {
    return this.control.filter((message) => message.kind === kind) as Extract<ControlMessage, { kind: Kind }>[]
  }

  /** What the machine said of its end: the code of its failure, `success`, or undefined while it runs. */
  get outcome(): string | undefined {
    for (const event of this.events) if (event.kind === 'finished') return event.failed?.code ?? 'success'
    return undefined
  }

  #takeEvents(): void {
    for (let event = this.machine.pollEvent(); event !== undefined; event = this.machine.pollEvent()) {
      this.events.push(event)
      if (event.kind === 'next') this.wanted.push(this.#nextSlice++)
      else if (event.kind === 'again') this.wanted.push(event.slice)
      else if (event.kind === 'release') this.released.push(event.frame)
    }
  }

  #note(at: number, bytes: number): void {
    if (packetTypeAt(this.#into, at, bytes) === PacketType.data) {
      const body = this.#into[at + DATA_HEADER_BYTES]!
      const [slice, symbol] = [sliceIndexAt(this.#into, at), symbolIndexAt(this.#into, at)]
      this.data.push({ slice, symbol, atUs: this.nowUs, body })
      return
    }
    const message = decodeControl(this.#into, at, bytes)
    if (typeof message === 'string') throw new Error(message)
    this.control.push(message)
  }
}

export const nack = (low: number, given: Partial<Nack>): Nack => ({
  ...{ kind: 'nack', receiver: receiver(low), deficits: [], missing: [] },
  ...given,
})

/** A session under way: receivers 1 to `count` have joined, and a second has passed. */
export function underway(sliceCount: number, count: number, given: Partial<SenderMachineOptions> = {}): HandDriven {
  const driven = new HandDriven(sliceCount, given)
  for (let low = 1; low <= count; low++) driven.join(low)
  driven.until(1_000_000)
  return driven
}

/** A frame of that slice: each symbol begins with the slice and is full of its own number. */
function frameOf(slice: number): Uint8Array {
  const frame = new Uint8Array(16_384 + 64)
  for (let symbol = 0; symbol * 1448 < frame.length; symbol++) frame.fill(slice + symbol, symbol * 1448)
  return frame
}
