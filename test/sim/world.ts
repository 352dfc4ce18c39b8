import { createHash } from 'node:crypto'
import { planGeometry, type Geometry } from '../../src/protocol/index.ts'
import { seededRandom, type Random } from '../../src/random.ts'
import { EventQueue } from './event-queue.ts'
import { Network, SENDER, type NetworkSpec, type PathSpec } from './network.ts'
import type { SimEvent, SimQueue } from './party.ts'
import { ReceiverParty, type ReceiverSetup } from './receiver-party.ts'
import { SenderParty, type SenderSetup } from './sender-party.ts'
import { SimulatedTarget } from './simulated-target.ts'
import { synthesise, type SyntheticImage } from './synthetic-image.ts'

/** A receiver of the world: when it comes (Infinity: when an incident starts it), over which path, with which options and disk. */
export type WorldReceiver = ReceiverSetup & {
  readonly joinAtUs?: number
  readonly path?: PathSpec
  /** What its target is full of at first. The target is kept when the receiver is started again. Left out: it has none. */
  readonly staleByte?: number
}

/** Something that happens in the world once its condition has come. */
export interface Incident {
  /** Looked at after every event; true: now. */
  readonly when: (world: World) => boolean
  readonly then: (world: World) => void
}

export interface WorldSpec {
  readonly seed: number
  /** Default 1 MiB without holes. */
  readonly dataBytes?: number
  readonly holeRatio?: number
  /** Default 64 KiB: 45 packets. */
  readonly sliceBytes?: number
  readonly mtuBytes?: number
  readonly sender?: SenderSetup
  readonly network?: NetworkSpec
  /** Each receiver's path, unless it has its own. */
  readonly path?: PathSpec
  readonly receivers: readonly WorldReceiver[]
  readonly incidents?: readonly Incident[]
  /** Virtual time after which the world has failed to end. Default 120 s. */
  readonly limitUs?: number
  /** Keep a digest of every byte sent. */
  readonly isRecorded?: boolean
  /** Sees each packet or run that the sender sends. */
  readonly onSent?: (nowUs: number, bytes: Uint8Array, segmentBytes: number) => void
  /** Sees each packet that reaches the sender. */
  readonly onHeard?: (nowUs: number, bytes: Uint8Array) => void
  /** Called after each event: throws when something does not hold. */
  readonly onStep?: (world: World) => void
}

/** Events of the world at one moment beyond which it turns in circles. */
const MAX_EVENTS_AT_ONCE = 1_000_000

/** Events that wait: beyond this, something grows without bound. */
const MAX_QUEUED_EVENTS = 20_000_000

/** One sender and many receivers on a network, in virtual time: one seed, one course of events. */
export class World {
  readonly image: SyntheticImage
  readonly geometry: Geometry
  readonly network: Network
  readonly receivers: (ReceiverParty | undefined)[] = []
  sender: SenderParty
  /** All that were started, in order; the last is {@link sender}. */
  readonly senders: SenderParty[] = []
  nowUs = 0
  eventCount = 0
  readonly #spec: WorldSpec
  readonly #random: Random
  readonly #queue: SimQueue = new EventQueue<SimEvent>()
  readonly #pending: Incident[]
  readonly #targets: readonly (SimulatedTarget | undefined)[]
  #appointmentCount = 0
  readonly #record = createHash('sha256')

  constructor(spec: WorldSpec) {
    const { seed, dataBytes = 1_048_576, holeRatio = 0, sliceBytes = 65_536, mtuBytes } = spec
    this.#spec = spec
    this.#random = seededRandom(seed)
    this.geometry = planGeometry({ family: 4, sliceBytes, mtuBytes, isKeyed: spec.sender?.keys?.isKeyed })
    this.image = synthesise({ seed: this.#drawSeed(), dataBytes, sliceBytes, holeRatio })
    this.network = new Network(spec.network ?? {}, this.#drawSeed(), this.#queue)
    this.#pending = [...(spec.incidents ?? [])]
    this.#targets = spec.receivers.map(({ staleByte }) =>
      staleByte === undefined ? undefined : new SimulatedTarget(this.image.imageBytes, staleByte),
    )
    for (const receiver of spec.receivers) {
      this.network.addPath(receiver.path ?? spec.path ?? {})
      this.receivers.push(undefined)
    }
    this.sender = this.startSender()
    for (let index = 0; index < spec.receivers.length; index++) {
      const { joinAtUs = 0 } = spec.receivers[index]!
      if (joinAtUs === 0) this.startReceiver(index)
      else if (joinAtUs < Infinity) this.schedule(joinAtUs, () => this.startReceiver(index))
    }
  }

  /** Has something happen at that time. The world does not end before. */
  schedule(atUs: number, then: () => void): void {
    this.#appointmentCount++
    this.#queue.push({ kind: 'appointment', atUs, order: 0, then })
  }

  /** Starts a sender of the same image: the first, or one in the place of one that was killed. */
  startSender(): SenderParty {
    const { image, geometry, network } = this
    const onSent = (nowUs: number, bytes: Uint8Array, segmentBytes: number): void => {
      this.#note(nowUs, bytes)
      this.#spec.onSent?.(nowUs, bytes, segmentBytes)
    }
    const onHeard = this.#spec.onHeard ?? ((): undefined => undefined)
    const parts = { image, geometry, network, queue: this.#queue, onSent, onHeard }
    this.sender = new SenderParty(this.nowUs, this.#drawSeed(), this.#spec.sender ?? {}, parts)
    this.senders.push(this.sender)
    return this.sender
  }

  /** Starts a receiver: for the first time, or again with nothing but what its target holds. */
  startReceiver(index: number): ReceiverParty {
    const { image, geometry, network } = this
    const onSent = (nowUs: number, bytes: Uint8Array): void => this.#note(nowUs, bytes)
    const parts = { image, geometry, network, queue: this.#queue, target: this.#targets[index], onSent }
    network.plug(index, true)
    const receiver = new ReceiverParty(this.nowUs, this.#drawSeed(), index, this.#spec.receivers[index]!, parts)
    this.receivers[index] = receiver
    return receiver
  }

  /** Kills a receiver without a word. */
  killReceiver(index: number): void {
    this.receivers[index]!.kill()
  }

  /** True when nobody runs any more and nothing is to happen. */
  get isOver(): boolean {
    return (
      !this.sender.isRunning &&
      this.#pending.length === 0 &&
      this.#appointmentCount === 0 &&
      this.receivers.every((receiver) => receiver?.isRunning !== true)
    )
  }

  /**
   * Lets the world run until everybody has ended.
   * @throws Error when that has not happened by the limit of virtual time, or a machine breaks a rule
   */
  run(): this {
    while (!this.isOver) this.#step()
    return this
  }

  /** Hexadecimal digest of every byte sent, and when. */
  recording(): string {
    return this.#record.copy().digest('hex')
  }

  #step(): void {
    const event = this.#queue.pop()
    const { limitUs = 120_000_000 } = this.#spec
    if (event === undefined || event.atUs > limitUs)
      throw new Error(`nothing has ended by ${limitUs} us: ${this.#describe()}`)
    if (event.atUs > this.nowUs) this.eventCount = 0
    if (++this.eventCount > MAX_EVENTS_AT_ONCE) throw new Error(`livelock at ${this.nowUs} us: ${this.#describe()}`)
    if (this.#queue.size > MAX_QUEUED_EVENTS) throw new Error(`too many packets are under way: ${this.#describe()}`)
    this.nowUs = event.atUs
    this.#dispatch(event)
    this.#spec.onStep?.(this)
    for (let index = 0; index < this.#pending.length; index++) {
      const incident = this.#pending[index]!
      if (!incident.when(this)) continue
      this.#pending.splice(index--, 1)
      incident.then(this)
    }
  }

  #dispatch(event: SimEvent): void {
    if (event.kind === 'appointment') {
      this.#appointmentCount--
      event.then()
      return
    }
    const party = event.kind !== 'arrival' ? event.party : event.to === SENDER ? this.sender : this.receivers[event.to]
    if (party?.isRunning !== true) return
    if (event.kind === 'arrival') party.handleDatagram(event.atUs, event.bytes, event.from)
    else if (event.kind === 'wake') party.handleWake(event.atUs)
    else party.handleDisk(event.atUs, event.slice, event.frame)
  }

  #drawSeed(): number {
    return Math.floor(this.#random() * 4_294_967_296)
  }

  #note(nowUs: number, bytes: Uint8Array): void {
    if (this.#spec.isRecorded !== true) return
    this.#record.update(String(nowUs)).update(bytes)
  }

  #describe(): string {
    const receivers = this.receivers.map((receiver, index) => {
      if (receiver === undefined) return `${index} not started`
      const state = receiver.outcome === undefined ? 'running' : (receiver.outcome.failed ?? 'complete')
      return `${index} ${state} ${receiver.settledCount}`
    })
    const sender = JSON.stringify({ ...this.sender.machine.stats(), outcome: this.sender.outcome })
    return `sender ${sender}; receivers (of ${this.image.frames.length} slices): ${receivers.slice(0, 20).join(', ')}`
  }
}
