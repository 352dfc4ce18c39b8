import { FecDecoder } from '../../src/fec/index.ts'
import { drawId, formatId, MAX_CONTROL_BYTES, type Geometry } from '../../src/protocol/index.ts'
import { seededRandom } from '../../src/random.ts'
import {
  ReceiverMachine,
  SettledMap,
  type ReceiverEvent,
  type ReceiverMachineOptions,
} from '../../src/receiver/machine/index.ts'
import type { ReceiverKeys } from '../../src/trust/index.ts'
import type { Network } from './network.ts'
import { Pump, type Party, type SimQueue } from './party.ts'
import type { SimulatedTarget } from './simulated-target.ts'
import { isSound, type SyntheticImage } from './synthetic-image.ts'

/** Time to open the target and to flush it at the end, microseconds. */
const OPEN_US = 1000
const FLUSH_US = 5000

/** Slices that stand for other work of the disk. */
const OPENING = -1
const FLUSHING = -2

/** One decoder for all receivers of a process: it keeps nothing. */
const decoder = new FecDecoder()

export type ReceiverSetup = Partial<Omit<ReceiverMachineOptions, 'receiverId' | 'random'>> & {
  /** What its disk takes, bytes per second. Left out: any amount at once. */
  readonly diskBytesPerSec?: number
  /** Rejects a sound frame the first so many times: a driver whose digest fails. */
  readonly rejectFirst?: number
  /** Frames are compared with the source and not digested: for very many receivers. */
  readonly skipsDigest?: boolean
  /** The target is flushed after so many slices, and a journal tells of them: this receiver goes on where the one before it was. */
  readonly flushEverySlices?: number
  /** Keys without which it takes part in no session. */
  readonly keys?: ReceiverKeys
  /**
   * Frames are not looked at, and all such receivers share one slice buffer: for thousands of receivers, where only the course of
   * events matters. No FEC then, which the sender need not do either.
   */
  readonly isHollow?: boolean
}

export interface ReceiverOutcome {
  /** The code of the failure; left out: the whole image is there. */
  readonly failed?: string
  readonly text?: string
  readonly atUs: number
}

/** A receiver's machine, with its driver and disk played: it verifies frames, writes them at the disk's speed, flushes. */
export class ReceiverParty implements Party {
  readonly index: number
  /** As {@link formatId} has it. */
  readonly id: string
  readonly machine: ReceiverMachine
  outcome: ReceiverOutcome | undefined
  /** When the whole image was verified and flushed; what follows is to tell the sender. */
  completeUs: number | undefined
  /** Where slices are written, if anywhere. */
  readonly target: SimulatedTarget | undefined
  rejectedCount = 0
  /** Sound frames that a sequential target could not take, since one before them had been rejected. */
  outOfTurnCount = 0
  /** Most slices that were with the disk at once. */
  mostQueuedCount = 0
  readonly #setup: ReceiverSetup
  readonly #image: SyntheticImage
  readonly #geometry: Geometry
  readonly #network: Network
  readonly #queue: SimQueue
  readonly #onSent: (nowUs: number, bytes: Uint8Array) => void
  readonly #pump: Pump
  readonly #bufferSlices: number
  readonly #settled: Uint8Array
  #settledCount = 0
  #queuedCount = 0
  #diskFreeUs = 0
  #isKilled = false
  #nowUs = 0
  #nextInOrder = 0
  readonly #takeEvent = (): boolean => {
    const event = this.machine.pollEvent()
    if (event !== undefined) this.#handleEvent(event)
    return event !== undefined
  }
  readonly #takePacket = (): boolean => {
    const sent = this.machine.pollTransmit(this.#nowUs, into)
    if (sent === undefined) return false
    if (sent.to?.address !== SENDER_ADDRESS.address) throw new Error('a receiver sends to its sender only')
    if (sent.bytes < 1 || sent.bytes > MAX_CONTROL_BYTES) throw new Error(`a packet has ${sent.bytes} bytes`)
    const bytes = into.slice(0, sent.bytes)
    this.#onSent(this.#nowUs, bytes)
    this.#network.unicast(this.#nowUs, this.index, bytes)
    return true
  }
  readonly #deadline = (): number | undefined => this.machine.pollTimeout()

  constructor(
    nowUs: number,
    seed: number,
    index: number,
    setup: ReceiverSetup,
    world: {
      readonly image: SyntheticImage
      readonly geometry: Geometry
      readonly network: Network
      readonly queue: SimQueue
      readonly target?: SimulatedTarget | undefined
      readonly onSent: (nowUs: number, bytes: Uint8Array) => void
    },
  ) {
    const random = seededRandom(seed)
    const trust = setup.keys?.trust
    const options: ReceiverMachineOptions = {
      ...(trust && { trust }),
      receiverId: drawId(random),
      name: `receiver-${index}`,
      random,
      decoder,
      codecs: [0, 1],
      receiveTimeoutUs: 5_000_000,
      bufferSlices: 64,
      isSequential: false,
      ...(setup.isHollow === true ? { makeBuffer: sharedBuffer, decoder: { decode: () => undefined } } : {}),
      ...setup,
    }
    this.index = index
    this.id = formatId(options.receiverId)
    this.target = world.target
    this.#setup = setup
    this.#image = world.image
    this.#geometry = world.geometry
    this.#network = world.network
    this.#queue = world.queue
    this.#onSent = world.onSent
    this.#bufferSlices = options.bufferSlices
    this.#settled = new Uint8Array(world.image.frames.length)
    this.#pump = new Pump(world.queue, this)
    this.machine = new ReceiverMachine(nowUs, options)
    this.#run(nowUs)
  }

  get isRunning(): boolean {
    return !this.#isKilled && this.outcome === undefined
  }

  get settledCount(): number {
    return this.#settledCount
  }

  get bufferSlices(): number {
    return this.#bufferSlices
  }

  isSettled(slice: number): boolean {
    return this.#settled[slice] === 1
  }

  /** Ends it without a word. */
  kill(): void {
    this.#isKilled = true
    this.#network.plug(this.index, false)
  }

  /** Ends it with a word to the sender. */
  leave(nowUs: number): void {
    this.machine.handleCommand(nowUs, { kind: 'leave', reason: 'stopped by the test' })
    this.#run(nowUs)
    this.kill()
  }

  handleDatagram(nowUs: number, bytes: Uint8Array): void {
    this.machine.handleDatagram(nowUs, SENDER_ADDRESS, bytes)
    this.#run(nowUs)
  }

  handleWake(nowUs: number): void {
    if (!this.#pump.takeWake(nowUs)) return
    this.machine.handleTimeout(nowUs)
    this.#run(nowUs)
  }

  handleDisk(nowUs: number, slice: number, frame: Uint8Array): void {
    if (slice === OPENING) this.machine.handleCommand(nowUs, { kind: 'opened', ...this.#goOn() })
    else if (slice === FLUSHING) {
      this.completeUs = nowUs
      this.target?.flush([])
      this.machine.handleCommand(nowUs, { kind: 'finished' })
    } else this.#handleWritten(nowUs, slice, frame)
    this.#run(nowUs)
  }

  #run(nowUs: number): void {
    this.#nowUs = nowUs
    this.#pump.run(nowUs, this.#takeEvent, this.#takePacket, this.#deadline)
    // Nobody listens any more: what is sent to it need not be carried.
    if (this.outcome !== undefined) this.#network.plug(this.index, false)
  }

  #handleEvent(event: ReceiverEvent): void {
    switch (event.kind) {
      case 'session':
        this.#work(OPENING, NOTHING, OPEN_US)
        break
      case 'slice':
        this.#takeSlice(event.slice, event.frame)
        break
      case 'adopted':
      case 'unfit':
        break
      case 'complete':
        this.#complete(event.end.sliceCount, event.end.rootDigest)
        break
      case 'acknowledged':
        if (this.#settledCount !== this.#settled.length)
          throw new Error(`receiver ${this.index} is done but not complete`)
        this.outcome = { atUs: this.#nowUs }
        break
      case 'failed':
        this.outcome = { failed: event.code, text: event.text, atUs: this.#nowUs }
        break
      default:
        event satisfies never
    }
  }

  #takeSlice(slice: number, frame: Uint8Array): void {
    if (this.#settled[slice] !== 0)
      throw new Error(`receiver ${this.index} gets slice ${slice} twice, or beyond the end`)
    this.mostQueuedCount = Math.max(this.mostQueuedCount, ++this.#queuedCount)
    if (this.#queuedCount > this.#bufferSlices)
      throw new Error(`receiver ${this.index} holds ${this.#queuedCount} frames`)
    if (this.#setup.isSequential === true && this.rejectedCount === 0 && slice !== this.#nextInOrder++) {
      throw new Error(`receiver ${this.index} gets slice ${slice} out of order`)
    }
    const { diskBytesPerSec } = this.#setup
    this.#work(slice, frame, diskBytesPerSec === undefined ? 0 : Math.ceil((frame.length * 1e6) / diskBytesPerSec))
  }

  /** Has the disk do something that takes so long, after all that it has to do before. */
  #work(slice: number, frame: Uint8Array, durationUs: number): void {
    this.#diskFreeUs = Math.max(this.#diskFreeUs, this.#nowUs) + durationUs
    this.#queue.push({ kind: 'disk', atUs: this.#diskFreeUs, order: 0, party: this, slice, frame })
  }

  /** Verified when it is written, not when it comes: so a buffer that the machine reuses too early shows. */
  #handleWritten(nowUs: number, slice: number, frame: Uint8Array): void {
    this.#queuedCount--
    const { isHollow = false } = this.#setup
    const isEqual = isHollow || Buffer.compare(frame, this.#image.frames[slice]!) === 0
    const isGood = this.#setup.skipsDigest === true || isHollow ? isEqual : isSound(frame, this.#geometry.sliceBytes)
    if (!isGood || this.rejectedCount < (this.#setup.rejectFirst ?? 0)) {
      this.rejectedCount++
      this.machine.handleCommand(nowUs, { kind: 'rejected', slice })
      return
    }
    if (this.#setup.isSequential === true && slice !== this.#settledCount) {
      this.outOfTurnCount++
      this.machine.handleCommand(nowUs, { kind: 'rejected', slice })
      return
    }
    if (!isEqual) throw new Error(`receiver ${this.index} settles slice ${slice}, which differs from the source`)
    this.target?.write(frame, this.#geometry.sliceBytes)
    this.#settled[slice] = 1
    this.#settledCount++
    this.machine.handleCommand(nowUs, { kind: 'settled', slice })
    const { flushEverySlices = Infinity } = this.#setup
    if (this.#settledCount % flushEverySlices !== 0) return
    this.target?.flush([...this.#settled.keys()].filter((each) => this.isSettled(each)))
  }

  /** What the journal of an earlier run tells. */
  #goOn(): { readonly settled?: SettledMap } {
    const recorded = this.#setup.flushEverySlices === undefined ? [] : (this.target?.recorded ?? [])
    if (recorded.length === 0) return {}
    const settled = new SettledMap()
    for (const slice of recorded) {
      settled.add(slice)
      this.#settled[slice] = 1
    }
    this.#settledCount = settled.count
    return { settled }
  }

  #complete(sliceCount: number, rootDigest: Uint8Array): void {
    const { end } = this.#image
    if (sliceCount !== end.sliceCount || Buffer.compare(rootDigest, end.rootDigest) !== 0) {
      throw new Error(`receiver ${this.index} was told of another image`)
    }
    if (this.#settledCount !== sliceCount) {
      throw new Error(`receiver ${this.index} is told to finish with ${this.#settledCount} of ${sliceCount} slices`)
    }
    this.#work(FLUSHING, NOTHING, FLUSH_US)
  }
}

const NOTHING = new Uint8Array(0)
const SENDER_ADDRESS = { address: '10.1.0.1', port: 9753 }

/** The one buffer of all receivers that are hollow. */
let hollowBuffer = NOTHING
function sharedBuffer(byteCount: number): Uint8Array {
  if (hollowBuffer.length < byteCount) hollowBuffer = new Uint8Array(byteCount)
  return hollowBuffer.subarray(0, byteCount)
}

/** What machines write their packets to; copied at once. */
const into = new Uint8Array(65_536)
