import { FecEncoder } from '../../src/fec/index.ts'
import { drawId, type Geometry } from '../../src/protocol/index.ts'
import { seededRandom } from '../../src/random.ts'
import { SenderMachine, type SenderEvent, type SenderMachineOptions } from '../../src/sender/machine/index.ts'
import type { SenderKeys } from '../../src/trust/index.ts'
import type { Network } from './network.ts'
import { Pump, type Party, type SimQueue } from './party.ts'
import type { SyntheticImage } from './synthetic-image.ts'

/** Time that reading and encoding one slice takes, microseconds. */
const READ_US = 300

/** One encoder for all senders of a process: it keeps nothing but the frame loaded last. */
const encoder = new FecEncoder()

export type SenderSetup = Partial<Omit<SenderMachineOptions, 'session' | 'encoder' | 'geometry'>> & {
  /** Takes the place of the Reed-Solomon encoder, where content does not matter and time does. */
  readonly encoder?: SenderMachineOptions['encoder']
  /** Keys to protect the session with. Frames stay as they are: the machines do not look into them. */
  readonly keys?: SenderKeys
}

/** A sender's machine, with the source played by a synthetic image. */
export class SenderParty implements Party {
  readonly machine: SenderMachine
  readonly bornUs: number
  readonly canReread: boolean
  readonly onSlow: SenderMachineOptions['onSlow']
  /** What `finished` said: undefined until then. */
  outcome: { readonly failed?: string; readonly text?: string } | undefined
  readonly refusedVersions: string[] = []
  /** Packets and bytes that came in, by the message they carried; datagrams of one kind are counted, not kept. */
  receivedPackets = 0
  readonly #image: SyntheticImage
  readonly #network: Network
  readonly #queue: SimQueue
  readonly #pump: Pump
  readonly #into = new Uint8Array(65_536)
  readonly #windowSlices: number
  readonly #packetBytes: number
  readonly #onSent: (nowUs: number, bytes: Uint8Array, segmentBytes: number) => void
  readonly #onHeard: (nowUs: number, bytes: Uint8Array) => void
  #nextSlice = 0
  #heldCount = 0
  #isKilled = false
  #hasEnded = false
  #nowUs = 0
  readonly #takeEvent = (): boolean => {
    const event = this.machine.pollEvent()
    if (event !== undefined) this.#handleEvent(event)
    return event !== undefined
  }
  readonly #takePacket = (): boolean => {
    const sent = this.machine.pollTransmit(this.#nowUs, this.#into)
    if (sent === undefined) return false
    if (sent.bytes < 1 || sent.segmentBytes < 1 || sent.to !== undefined)
      throw new Error('a sender sends to the group only')
    if (sent.segmentBytes > this.#packetBytes) throw new Error(`a packet of ${sent.segmentBytes} bytes is too large`)
    const bytes = this.#into.slice(0, sent.bytes)
    this.#onSent(this.#nowUs, bytes, sent.segmentBytes)
    this.#network.multicast(this.#nowUs, bytes, sent.segmentBytes)
    return true
  }
  readonly #deadline = (): number | undefined => this.machine.pollTimeout()

  constructor(
    nowUs: number,
    seed: number,
    setup: SenderSetup,
    world: {
      readonly image: SyntheticImage
      readonly geometry: Geometry
      readonly network: Network
      readonly queue: SimQueue
      readonly onSent: (nowUs: number, bytes: Uint8Array, segmentBytes: number) => void
      readonly onHeard: (nowUs: number, bytes: Uint8Array) => void
    },
  ) {
    const session = drawId(seededRandom(seed))
    const trust = setup.keys?.open(session, 'image').trust
    const options: SenderMachineOptions = {
      session,
      ...(trust && { trust }),
      imageId: 'image',
      imageName: 'image',
      imageBytes: world.image.imageBytes,
      geometry: world.geometry,
      overheadBytes: 28,
      codec: 0,
      encoder,
      windowSlices: 64,
      canReread: true,
      minReceivers: 1,
      minWaitUs: 0,
      maxWaitUs: undefined,
      startTimeoutUs: undefined,
      receiverTimeoutUs: 5_000_000,
      onSlow: 'defer',
      fec: 'auto',
      maxBitrate: 200_000_000,
      ...setup,
    }
    this.bornUs = nowUs
    this.#image = world.image
    this.#network = world.network
    this.#queue = world.queue
    this.#onSent = world.onSent
    this.#onHeard = world.onHeard
    this.#windowSlices = options.windowSlices
    this.canReread = options.canReread
    this.onSlow = options.onSlow
    this.#packetBytes = options.geometry.packetBytes
    this.#pump = new Pump(world.queue, this)
    this.machine = new SenderMachine(nowUs, options)
    this.#run(nowUs)
  }

  get isRunning(): boolean {
    return !this.#isKilled && this.outcome === undefined
  }

  /** Ends it without a word. */
  kill(): void {
    this.#isKilled = true
  }

  abort(nowUs: number): void {
    this.machine.handleCommand(nowUs, { kind: 'abort', reason: 'interrupted', text: 'stopped by the test' })
    this.#run(nowUs)
  }

  setMaxBitrate(nowUs: number, bitsPerSec: number | undefined): void {
    this.machine.handleCommand(nowUs, { kind: 'max-bitrate', bitsPerSec })
    this.#run(nowUs)
  }

  start(nowUs: number): void {
    this.machine.handleCommand(nowUs, { kind: 'start' })
    this.#run(nowUs)
  }

  handleDatagram(nowUs: number, bytes: Uint8Array, from: number): void {
    this.receivedPackets++
    this.#onHeard(nowUs, bytes)
    this.machine.handleDatagram(nowUs, { address: `10.0.${from >> 8}.${from & 255}`, port: 9753 }, bytes)
    this.#run(nowUs)
  }

  handleWake(nowUs: number): void {
    if (!this.#pump.takeWake(nowUs)) return
    this.machine.handleTimeout(nowUs)
    this.#run(nowUs)
  }

  handleDisk(nowUs: number, slice: number, frame: Uint8Array): void {
    if (slice < this.#image.frames.length) this.machine.handleCommand(nowUs, { kind: 'frame', slice, frame })
    else if (!this.#hasEnded) {
      this.#hasEnded = true
      this.machine.handleCommand(nowUs, { kind: 'end', end: this.#image.end })
    }
    this.#run(nowUs)
  }

  #run(nowUs: number): void {
    this.#nowUs = nowUs
    this.#pump.run(nowUs, this.#takeEvent, this.#takePacket, this.#deadline)
  }

  #handleEvent(event: SenderEvent): void {
    switch (event.kind) {
      case 'next':
        this.#read(this.#nextSlice++)
        break
      case 'again':
        if (!this.canReread) throw new Error(`slice ${event.slice} is asked for again, which a pipe cannot give`)
        this.#read(event.slice)
        break
      case 'release':
        this.#heldCount--
        break
      case 'finished':
        this.outcome = event.failed === undefined ? {} : { failed: event.failed.code, text: event.failed.text }
        break
      case 'refused':
        this.refusedVersions.push(`${event.oldest}-${event.newest}`)
        break
      case 'phase':
      case 'receiver':
        break
      default:
        event satisfies never
    }
  }

  #read(slice: number): void {
    const frame = this.#image.frames[slice] ?? new Uint8Array(0)
    if (slice < this.#image.frames.length && ++this.#heldCount > this.#windowSlices) {
      throw new Error(`the sender holds ${this.#heldCount} frames of at most ${this.#windowSlices}`)
    }
    // A machine must not keep a frame beyond its release: another buffer each time shows it when it does.
    this.#queue.push({ kind: 'disk', atUs: this.#nowUs + READ_US, order: 0, party: this, slice, frame })
  }
}
