import { FecDecoder } from '../../src/fec/index.ts'
import {
  encodeControl,
  imageTag,
  LIMITS,
  MAX_CONTROL_BYTES,
  MAX_RECEIVER_COUNT,
  planGeometry,
  type ControlMessage,
  type Machine,
  type Transmit,
} from '../../src/protocol/index.ts'
import { seededRandom } from '../../src/random.ts'
import { ReceiverMachine } from '../../src/receiver/machine/index.ts'
import { SenderMachine } from '../../src/sender/machine/index.ts'
import { HandSender } from '../unit/receiver/hand.ts'
import { SAMPLES } from '../unit/protocol/sample-messages.ts'
import type { FuzzTarget } from './fuzz.ts'
import { must } from './must.ts'

/** Steps that one input stands for, at most. */
const MAX_STEPS = 200

/** Polls at one moment beyond which a machine never stops. */
const MAX_POLLS = 5000

/** Reads an input as a script: every byte sequence is one. */
class Script {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get isOver(): boolean {
    return this.#at >= this.#bytes.length
  }

  byte(): number {
    return this.#bytes[this.#at++] ?? 0
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.byte() % items.length]!
  }

  take(lengthBytes: number): Uint8Array {
    return this.#bytes.slice(this.#at, (this.#at += lengthBytes))
  }

  /** A copy with up to three bytes changed. */
  damaged(packet: Uint8Array): Uint8Array {
    const copy = packet.slice()
    for (let changes = this.byte() & 3; changes > 0; changes--)
      copy[(this.byte() * 256 + this.byte()) % copy.length] = this.byte()
    return copy
  }

  /** Microseconds: mostly up to two seconds, sometimes up to a quarter of an hour, which ends most sessions. */
  span(): number {
    const byte = this.byte()
    return 2 ** (byte % (byte < 240 ? 22 : 30)) + this.byte()
  }
}

const into = new Uint8Array(65_507)

/** A machine driven as its contract says, with what must always hold looked at after each input. */
class Driver<Command, Event extends { readonly kind: string }> {
  readonly machine: Machine<Command, Event, unknown>
  nowUs = 1_000_000
  /** Packets that it was given before it ended. */
  packets = 0
  isOver = false
  /** @returns whether it is the end */
  readonly #onEvent: (event: Event) => boolean
  readonly #onSent: (sent: Transmit) => void

  constructor(
    machine: Machine<Command, Event, unknown>,
    onEvent: (event: Event) => boolean,
    onSent: (sent: Transmit) => void,
  ) {
    this.machine = machine
    this.#onEvent = onEvent
    this.#onSent = onSent
    this.drain()
  }

  hear(packet: Uint8Array, address = '10.0.0.1'): void {
    if (!this.isOver) this.packets++
    this.machine.handleDatagram(this.nowUs, { address, port: 9757 }, packet)
    this.drain()
  }

  command(command: Command): void {
    this.machine.handleCommand(this.nowUs, command)
    this.drain()
  }

  /** Lets time pass, with the first few deadlines on the way; a real driver may be late for the rest. */
  pass(durationUs: number): void {
    const untilUs = this.nowUs + durationUs
    for (let wakes = 0; wakes < 8; wakes++) {
      const nextUs = this.machine.pollTimeout()
      if (nextUs === undefined || nextUs > untilUs) break
      must(nextUs > this.nowUs, `at ${this.nowUs} us a machine asks to be woken at ${nextUs} us`)
      this.nowUs = Math.ceil(nextUs)
      this.machine.handleTimeout(this.nowUs)
      this.drain()
    }
    this.nowUs = Math.max(this.nowUs, untilUs)
    this.machine.handleTimeout(this.nowUs)
    this.drain()
  }

  drain(): void {
    for (let polls = 0; ; polls++) {
      must(polls < MAX_POLLS, `at ${this.nowUs} us a machine never stops`)
      let isBusy = false
      for (let event = this.machine.pollEvent(); event !== undefined; event = this.machine.pollEvent()) {
        must(!this.isOver, 'something happens after the end')
        this.isOver = this.#onEvent(event)
        isBusy = true
      }
      const sent = this.machine.pollTransmit(this.nowUs, into)
      if (sent !== undefined) {
        must(
          sent.bytes > 0 && sent.bytes <= into.length && sent.segmentBytes <= sent.bytes,
          'a run has no sound length',
        )
        this.#onSent(sent)
      } else if (!isBusy) {
        return
      }
    }
  }
}

const tag = imageTag('image')
const SESSION = { high: 7, low: 8 }
const SLICES = 12
const FRAME = new Uint8Array(16_448)
const SENDER_GEOMETRY = planGeometry({ family: 4, sliceBytes: 16_384 })

/** What receivers say to the sender, near the truth. */
const feedback: readonly Uint8Array[] = SAMPLES.map((message) => encodeControl(message, SESSION, tag))

/** Mostly few, sometimes as many as there can be. */
function someOf(script: Script, limit: number): number {
  const byte = script.byte()
  return byte < 240 ? byte % Math.min(6, limit + 1) : byte % (limit + 1)
}

function anyNack(script: Script): ControlMessage {
  const deficits = Array.from({ length: someOf(script, LIMITS.slicesPerMessage) }, () => ({
    ...{ slice: script.byte() % 16, deficit: 1 + (script.byte() % 255), heard: script.byte() },
  }))
  const missing = Array.from({ length: someOf(script, LIMITS.rangesPerMessage) }, () => ({
    ...{ first: script.byte() % 16, count: 1 + script.byte() },
  }))
  return { kind: 'nack', receiver: { high: 1, low: 1 + (script.byte() & 15) }, deficits, missing }
}

function anyReport(script: Script): ControlMessage {
  const [settledBelow, settledCount] = [script.byte() % 14, script.byte() % 14]
  const [receivedPackets, lostPackets, queuePercent] = [script.byte(), script.byte(), script.byte() % 101]
  return {
    ...{ kind: 'report', receiver: { high: 1, low: 1 + (script.byte() & 15) }, name: 'r', settledBelow, settledCount },
    ...{ receivedPackets, lostPackets, queuePercent, echoSentAtUs: script.byte() << 12, echoHeldUs: 0 },
  }
}

function runSender(input: Uint8Array): number {
  const script = new Script(input)
  const canReread = (script.byte() & 1) === 0
  const machine = new SenderMachine(1_000_000, {
    ...{
      session: SESSION,
      imageId: 'image',
      imageName: 'image',
      imageBytes: SLICES * 16_384,
      geometry: SENDER_GEOMETRY,
    },
    ...{
      overheadBytes: 28,
      codec: 0,
      windowSlices: 4,
      canReread,
      minReceivers: script.byte() & 1,
    },
    ...{ minWaitUs: 0, maxWaitUs: undefined, startTimeoutUs: 60_000_000, receiverTimeoutUs: 5_000_000 },
    onSlow: script.pick(['wait', 'defer', 'drop'] as const),
    fec: script.pick(['auto', 'off', 30] as const),
    maxBitrate: script.pick([undefined, 1_000_000, 50_000_000]),
    encoder: {
      load: () => undefined,
      parityInto: (symbol, to, at) => to.fill(symbol, at, at + SENDER_GEOMETRY.symbolBytes),
    },
  })
  const wanted: number[] = []
  let next = 0
  const driver: Driver<
    Parameters<SenderMachine['handleCommand']>[1],
    NonNullable<ReturnType<SenderMachine['pollEvent']>>
  > = new Driver(
    machine,
    (event) => {
      if (event.kind === 'next') wanted.push(next++)
      else if (event.kind === 'again') wanted.push(event.slice)
      must(event.kind !== 'again' || canReread, 'a pipe is to be read again')
      return event.kind === 'finished'
    },
    ({ segmentBytes, to }) =>
      must(segmentBytes <= SENDER_GEOMETRY.packetBytes && to === undefined, 'a packet is too long'),
  )
  const steps: readonly (() => void)[] = [
    () => driver.hear(script.damaged(script.pick(feedback)), `10.0.0.${script.byte() & 3}`),
    () => driver.hear(encodeControl(anyNack(script), SESSION, tag), `10.0.0.${script.byte() & 3}`),
    () => driver.hear(encodeControl(anyReport(script), SESSION, tag), `10.0.0.${script.byte() & 3}`),
    () => driver.hear(script.take(script.byte())),
    () => driver.pass(script.span()),
    () => {
      const slice = wanted.shift()
      if (slice === undefined || driver.isOver) return
      const rootDigest = new Uint8Array(32)
      const imageBytes = SLICES * 16_384
      if (slice < SLICES) driver.command({ kind: 'frame', slice, frame: FRAME })
      else if (slice === SLICES) {
        driver.command({ kind: 'end', end: { sliceCount: SLICES, imageBytes, dataBytes: imageBytes, rootDigest } })
      }
    },
    () => driver.command({ kind: 'max-bitrate', bitsPerSec: script.pick([undefined, 1, 1_000_000, 4e11]) }),
    () => driver.command(script.byte() < 250 ? { kind: 'start' } : { kind: 'abort', reason: 'interrupted', text: 'x' }),
  ]
  for (let step = 0; step < MAX_STEPS && !script.isOver; step++) {
    script.pick(steps)()
    const held = machine.holdings()
    must(held.frames <= 4 && held.dueRepairs <= 4 && held.receivers <= MAX_RECEIVER_COUNT, 'the sender holds too much')
    must(
      held.packets <= 67 && held.acks <= 960 && held.echoes <= 60 && held.askers <= 1024,
      'too much waits to be said',
    )
  }
  return driver.packets
}

const hand = new HandSender([16_000, 9000, 16_448, 70])
const spoken: readonly Uint8Array[] = [
  hand.announce(),
  hand.announce({ begunCount: 4, phase: 'mending' }),
  hand.end(),
  hand.end({ isClosing: true }),
  ...hand.frames.flatMap((_, slice) => [...hand.slice(slice), hand.data(slice, 254), hand.data(slice, 100)]),
  hand.control({ kind: 'join-ack', receivers: [{ high: 1, low: 1 }] }),
  hand.control({ kind: 'done-ack', receivers: [{ high: 1, low: 1 }] }),
  hand.control({ kind: 'repair-echo', pending: [{ slice: 1, symbolCount: 9 }], deferred: [{ first: 0, count: 2 }] }),
  hand.control({ kind: 'abort', reason: 'sender-failed', text: '' }),
  ...SAMPLES.map((message) => hand.control(message)),
]
const fecDecoder = new FecDecoder()

function runReceiver(input: Uint8Array): number {
  const script = new Script(input)
  const bufferSlices = 1 + (script.byte() & 3)
  const machine = new ReceiverMachine(1_000_000, {
    ...{ receiverId: { high: 1, low: 1 }, name: 'fuzz', random: seededRandom(1), decoder: fecDecoder, codecs: [0, 1] },
    ...{
      startTimeoutUs: 30_000_000,
      receiveTimeoutUs: 10_000_000,
      bufferSlices,
      isSequential: (script.byte() & 1) === 1,
    },
  })
  const withDriver: number[] = []
  let [isOpening, isComplete] = [false, false]
  const driver: Driver<
    Parameters<ReceiverMachine['handleCommand']>[1],
    NonNullable<ReturnType<ReceiverMachine['pollEvent']>>
  > = new Driver(
    machine,
    (event) => {
      if (event.kind === 'slice') {
        must(!withDriver.includes(event.slice), 'a slice is handed out twice')
        withDriver.push(event.slice)
      } else if (event.kind === 'session') isOpening = true
      else if (event.kind === 'complete') isComplete = true
      return event.kind === 'acknowledged' || event.kind === 'failed'
    },
    ({ bytes, to }) => must(bytes <= MAX_CONTROL_BYTES && to !== undefined, 'a receiver speaks to its sender only'),
  )
  // Most inputs begin with a session, so that they have something to do with one.
  if (script.byte() < 250) driver.hear(hand.announce())
  const steps: readonly (() => void)[] = [
    () => driver.hear(script.pick(spoken)),
    () => driver.hear(script.damaged(script.pick(spoken))),
    () => driver.hear(Buffer.concat([script.pick(spoken), script.damaged(script.pick(spoken))])),
    () => driver.hear(hand.data(script.byte() % 4, script.byte() % 255)),
    () => driver.hear(script.take(script.byte())),
    () => driver.pass(script.span()),
    () => {
      if (driver.isOver) return
      if (isOpening) {
        isOpening = false
        driver.command({ kind: 'opened' })
      } else if (isComplete && withDriver.length === 0) {
        isComplete = false
        driver.command({ kind: 'finished' })
      } else {
        const slice = withDriver.shift()
        if (slice !== undefined) driver.command({ kind: script.byte() < 200 ? 'settled' : 'rejected', slice })
      }
    },
  ]
  for (let step = 0; step < MAX_STEPS && !script.isOver; step++) {
    script.pick(steps)()
    const held = machine.holdings()
    must(held.buffers <= bufferSlices && withDriver.length <= bufferSlices, 'the receiver holds too many slices')
    must(held.quietRanges <= 256, 'the receiver keeps too many ranges')
  }
  return driver.packets
}

/** Scripts of random steps: what a machine is put through is for the mutations to find. */
const scripts = (): Uint8Array[] => {
  const random = seededRandom(3)
  return Array.from({ length: 24 }, (_, index) =>
    Uint8Array.from({ length: 20 + 40 * index }, () => Math.floor(random() * 256)),
  )
}

export const machines: readonly FuzzTarget[] = [
  { name: 'sender', seeds: scripts, run: runSender },
  { name: 'receiver', seeds: scripts, run: runReceiver },
]
