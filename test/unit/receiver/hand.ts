import { expect } from 'vitest'
import { FecDecoder, FecEncoder } from '../../../src/fec/index.ts'
import {
  DATA_HEADER_BYTES,
  decodeControl,
  encodeControl,
  encodeDataFieldsInto,
  encodePrefixInto,
  imageTag,
  PacketType,
  packetTypeAt,
  planGeometry,
  sourceSymbolCount,
  type Announce,
  type ControlMessage,
  type End,
  type Geometry,
  type Id64,
  type PeerAddress,
} from '../../../src/protocol/index.ts'
import { seededRandom } from '../../../src/random.ts'
import {
  ReceiverMachine,
  type ReceiverCommand,
  type ReceiverEvent,
  type ReceiverMachineOptions,
} from '../../../src/receiver/machine/index.ts'

export const SENDER: PeerAddress = { address: '10.0.0.1', port: 9753 }
export const RECEIVER: Id64 = { high: 0xabc, low: 7 }
export const GRTT_US = 5000

/** Small: slices of 16 KiB in packets of 548 bytes, 524 of them symbol. */
export const GEOMETRY: Geometry = planGeometry({ family: 4, mtuBytes: 576, sliceBytes: 16_384 })

const encoder = new FecEncoder()

/** The packets of a sender, made by hand. Frames hold random bytes: the machine does not look inside. */
export class HandSender {
  session: Id64 = { high: 0x01020304, low: 0x05060708 }
  readonly frames: readonly Uint8Array[]
  readonly imageId: string

  constructor(frameSizes: readonly number[], imageId = 'image') {
    const random = seededRandom(frameSizes.length)
    this.imageId = imageId
    this.frames = frameSizes.map((bytes) => Uint8Array.from({ length: bytes }, () => Math.floor(random() * 256)))
  }

  /** Source symbols of a slice. */
  sourceCount(slice: number): number {
    return sourceSymbolCount(this.frames[slice]!.length, GEOMETRY.symbolBytes)
  }

  control(message: ControlMessage): Uint8Array {
    return encodeControl(message, this.session, imageTag(this.imageId))
  }

  announce(
    change: Partial<Announce> & { groupCount?: number; reportIntervalMs?: number; joinLimit?: number } = {},
  ): Uint8Array {
    const { groupCount = 1, reportIntervalMs = 100, joinLimit = 65_536, ...rest } = change
    return this.control({
      kind: 'announce',
      imageId: this.imageId,
      imageName: 'an image',
      imageBytes: 1_000_000,
      sliceBytes: GEOMETRY.sliceBytes,
      packetBytes: GEOMETRY.packetBytes,
      codec: 0,
      phase: 'sending',
      begunCount: 0,
      feedback: { grttUs: GRTT_US, groupCount, reportIntervalMs, receiverTimeoutMs: 5000, joinLimit },
      sentAtUs: 1234,
      rateBitsPerSec: 0,
      ...rest,
    })
  }

  end(change: Partial<End> = {}): Uint8Array {
    const sliceCount = this.frames.length
    const rootDigest = new Uint8Array(32)
    const sizes = { imageBytes: 1_000_000, dataBytes: 500_000 }
    return this.control({ kind: 'end', sliceCount, rootDigest, isClosing: false, ...sizes, ...change })
  }

  /** One data packet: a source or parity symbol. */
  data(slice: number, symbol: number): Uint8Array {
    const frame = this.frames[slice]!
    const { symbolBytes, packetBytes } = GEOMETRY
    const packet = new Uint8Array(packetBytes)
    encodePrefixInto(packet, 0, PacketType.data, this.session, imageTag(this.imageId))
    encodeDataFieldsInto(packet, 0, slice, frame.length, symbol)
    if (symbol < this.sourceCount(slice)) {
      packet.set(frame.subarray(symbol * symbolBytes, (symbol + 1) * symbolBytes), DATA_HEADER_BYTES)
    } else {
      encoder.load(frame, symbolBytes)
      encoder.parityInto(symbol, packet, DATA_HEADER_BYTES)
    }
    return packet
  }

  /** All source symbols of a slice but those left out. */
  slice(slice: number, ...leftOut: readonly number[]): Uint8Array[] {
    return Array.from({ length: this.sourceCount(slice) }, (_, symbol) => symbol)
      .filter((symbol) => !leftOut.includes(symbol))
      .map((symbol) => this.data(slice, symbol))
  }
}

/** A machine, its clock and its driver, moved by hand. */
export class Hand {
  nowUs = 1_000_000
  readonly machine: ReceiverMachine
  /** Every message sent, with its time. */
  readonly sent: { readonly atUs: number; readonly message: ControlMessage }[] = []
  /** Packets sent that are no control messages. */
  readonly others: Uint8Array[] = []
  readonly events: ReceiverEvent[] = []
  /** Every byte sent. */
  readonly bytes: number[] = []
  /** Whether slices are settled as they come. */
  settlesAtOnce = true

  constructor(options: Partial<ReceiverMachineOptions> = {}) {
    this.machine = new ReceiverMachine(this.nowUs, {
      receiverId: RECEIVER,
      name: 'hand',
      random: seededRandom(5),
      decoder: new FecDecoder(),
      codecs: [0, 1],
      receiveTimeoutUs: 10_000_000,
      bufferSlices: 8,
      isSequential: false,
      ...options,
    })
  }

  /** A machine in the midst of a session. */
  static joined(
    sender: HandSender,
    options: Partial<ReceiverMachineOptions> = {},
    announce: Uint8Array = sender.announce(),
  ): Hand {
    const hand = new Hand(options)
    hand.hear(announce)
    hand.command({ kind: 'opened' })
    hand.hear(sender.control({ kind: 'join-ack', receivers: [RECEIVER] }))
    return hand
  }

  /** Packets arrive now. */
  hear(...packets: readonly Uint8Array[]): void {
    for (const packet of packets) {
      const scratch = packet.slice()
      this.machine.handleDatagram(this.nowUs, SENDER, scratch)
      // The bytes are the driver's again.
      scratch.fill(0xee)
      this.#drain()
    }
  }

  command(command: ReceiverCommand): void {
    this.machine.handleCommand(this.nowUs, command)
    this.#drain()
  }

  /** Lets time pass, with every timeout on the way. */
  pass(durationUs: number): void {
    const untilUs = this.nowUs + durationUs
    for (;;) {
      const nextUs = this.machine.pollTimeout()
      if (nextUs === undefined || nextUs > untilUs) break
      expect(nextUs).toBeGreaterThan(this.nowUs)
      this.nowUs = Math.ceil(nextUs)
      this.machine.handleTimeout(this.nowUs)
      this.#drain()
    }
    this.nowUs = untilUs
  }

  /** Messages of one kind sent so far. */
  messages<Kind extends ControlMessage['kind']>(kind: Kind): (ControlMessage & { kind: Kind })[] {
    return this.sent.map(({ message }) => message).filter((message) => message.kind === kind) as never
  }

  /** Times of the messages of one kind. */
  timesOf(kind: ControlMessage['kind']): number[] {
    return this.sent.filter(({ message }) => message.kind === kind).map(({ atUs }) => atUs)
  }

  /** Kinds of the events so far. */
  get kinds(): string[] {
    return this.events.map(({ kind }) => kind)
  }

  /** Frames handed out so far, copied, by slice. */
  readonly frames: Map<number, Uint8Array> = new Map<number, Uint8Array>()
  /** Slices in the order handed out. */
  readonly order: number[] = []

  #drain(): void {
    for (let event = this.machine.pollEvent(); event !== undefined; event = this.machine.pollEvent()) {
      this.events.push(event)
      if (event.kind !== 'slice') continue
      this.frames.set(event.slice, event.frame.slice())
      this.order.push(event.slice)
      if (this.settlesAtOnce) this.machine.handleCommand(this.nowUs, { kind: 'settled', slice: event.slice })
    }
    const into = new Uint8Array(65_536)
    for (;;) {
      const transmit = this.machine.pollTransmit(this.nowUs, into)
      if (transmit === undefined) return
      expect(transmit).toEqual({ bytes: transmit.bytes, segmentBytes: transmit.bytes, to: SENDER })
      const packet = into.slice(0, transmit.bytes)
      this.bytes.push(...packet)
      if (packetTypeAt(packet, 0, packet.length) !== PacketType.control) {
        this.others.push(packet)
        continue
      }
      const message = decodeControl(packet, 0, packet.length)
      if (typeof message === 'string') throw new Error(message)
      this.sent.push({ atUs: this.nowUs, message })
    }
  }
}
