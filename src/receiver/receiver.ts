import { hostname } from 'node:os'
import { SkilfishError } from '../errors.ts'
import { FecDecoder } from '../fec/index.ts'
import {
  MachinePump,
  monotonicUs,
  openUdpSocket,
  parseGroup,
  resolveInterface,
  secureRandom,
  type UdpSocket,
} from '../io/index.ts'
import {
  clipText,
  DEFAULT_GROUP,
  DEFAULT_PORT,
  DEFAULT_SILENCE_MS,
  digestKindOf,
  drawId,
  formatId,
  type End,
} from '../protocol/index.ts'
import { interrupted, throwIfAborted } from '../interruption.ts'
import { ProgressStream } from '../progress-stream.ts'
import { ReceiverKeys, type ReceiverSessionKeys } from '../trust/index.ts'
import { checkReceiveOptions } from './check-options.ts'
import { decodableCodecs, type FrameConsumer } from './frame-consumer.ts'
import { ReceiverMachine, type ReceiverEvent } from './machine/index.ts'
import type { ReceiveHandle, ReceiveOptions, ReceiveProgress, ReceiveResult } from './receive-options.ts'
import { receiveProgress } from './receive-progress.ts'
import { ReceiveTarget, type FinishedTarget } from './receive-target.ts'

/** How often progress is told, milliseconds. */
const PROGRESS_INTERVAL_MS = 250

/** Slices in memory by default: 64 of 256 KiB, and parity, are about 20 MiB. */
const DEFAULT_BUFFER_SLICES = 64

type SessionEvent = ReceiverEvent & { kind: 'session' }

/**
 * Receives an image from whoever sends one to the group.
 *
 * Returns at once. The process is kept alive until the transfer ends.
 * @throws RangeError or TypeError when an option is out of its bounds, of another type, or not one of these
 * @example
 * const { imageBytes, rootDigest } = await receive({ target: '/dev/sdb', interface: 'eth0' }).finished
 */
export function receive(options: ReceiveOptions): ReceiveHandle {
  checkReceiveOptions(options)
  return new Transfer(options)
}

class Transfer implements ReceiveHandle {
  readonly finished: Promise<ReceiveResult>
  readonly #options: ReceiveOptions
  readonly #progress = new ProgressStream<ReceiveProgress>()
  readonly #beganUs = monotonicUs()
  /** There from when the keys are read. */
  #machine!: ReceiverMachine
  #keys!: ReceiverKeys
  /** What the frames of the present session are opened with. */
  #sessionKeys: ReceiverSessionKeys | undefined
  #pump: MachinePump | undefined
  #target: ReceiveTarget | undefined
  #session: SessionEvent | undefined
  #sessionUs: number | undefined
  #consumer: FrameConsumer | undefined
  #resumedSliceCount = 0
  #end: End | undefined
  #finished: FinishedTarget | undefined
  #phase: ReceiveProgress['phase'] = 'waiting'
  #settle!: (error: unknown) => void
  /** Resolves with undefined when all is acknowledged, else with what went wrong. */
  readonly #over = new Promise<unknown>((resolve) => (this.#settle = resolve))

  constructor(options: ReceiveOptions) {
    this.#options = options
    this.finished = this.#run().finally(() => this.#progress.end())
    // Whoever does not look at `finished` has not lost the error: it is theirs to look.
    this.finished.catch(() => undefined)
  }

  progress(): AsyncIterable<ReceiveProgress> {
    return this.#progress.values()
  }

  #makeMachine(): ReceiverMachine {
    const options = this.#options
    const us = (ms: number): number => Math.round(ms * 1000)
    const { imageId, startTimeoutMs, target } = options
    const { trust } = this.#keys
    return new ReceiverMachine(this.#beganUs, {
      ...{ receiverId: drawId(secureRandom), name: options.name ?? clipText(hostname()), random: Math.random },
      ...(trust === undefined ? {} : { trust }),
      ...(imageId === undefined ? {} : { imageId }),
      ...(startTimeoutMs === undefined ? {} : { startTimeoutUs: us(startTimeoutMs) }),
      receiveTimeoutUs: us(options.receiveTimeoutMs ?? DEFAULT_SILENCE_MS),
      ...{ codecs: decodableCodecs(), decoder: new FecDecoder() },
      bufferSlices: options.bufferSlices ?? DEFAULT_BUFFER_SLICES,
      isSequential: typeof target === 'string' ? target === '-' : target.isSequential,
    })
  }

  async #run(): Promise<ReceiveResult> {
    const { signal, dropRatio = 0 } = this.#options
    const group = parseGroup(this.#options.group ?? DEFAULT_GROUP, DEFAULT_PORT)
    throwIfAborted(signal)
    let socket: UdpSocket | undefined
    let timer: NodeJS.Timeout | undefined
    let isComplete = false
    let failure: unknown
    const abort = (): void => this.#fail(interrupted())
    try {
      this.#keys = await ReceiverKeys.load(this.#options)
      this.#machine = this.#makeMachine()
      this.#target = await ReceiveTarget.open(this.#options, {
        onLog: (line) => this.#log(line),
        onFailure: (error) => this.#fail(error),
      })
      const networkInterface = resolveInterface(this.#options.interface, group.family)
      const { ttl, offload = 'auto' } = this.#options
      socket = await openUdpSocket({
        ...{ group, role: 'receiver', interface: networkInterface },
        ...(ttl === undefined ? {} : { ttl }),
        // Loss is tried packet by packet: they must come one by one.
        offload: dropRatio > 0 ? 'off' : offload,
      })
      this.#pump = new MachinePump(this.#machine, socket, {
        onProgress: () => this.#handleEvents(),
        onError: (error) => this.#fail(error),
      })
      if (dropRatio > 0) dropSome(socket, dropRatio)
      // What came while the target and the socket were opened has called nobody.
      throwIfAborted(signal)
      signal?.addEventListener('abort', abort, { once: true })
      timer = setInterval(() => this.#tellProgress(), PROGRESS_INTERVAL_MS)
      this.#log(`waiting for a sender, target ${this.#target.label}`)
      this.#pump.run()
      failure = await this.#over
      await this.#pump.drained()
      if (failure !== undefined) throw failure as Error
      isComplete = true
      this.#tellProgress()
      return this.#result(socket)
    } finally {
      clearInterval(timer)
      signal?.removeEventListener('abort', abort)
      this.#pump?.stop()
      await socket?.close()
      if (!isComplete && (await this.#target?.abort())) this.#log(`${this.#target!.label} is complete all the same`)
    }
  }

  #handleEvents(): void {
    for (;;) {
      const event = this.#machine.pollEvent()
      if (event === undefined) return
      switch (event.kind) {
        case 'session':
          this.#session = event
          this.#openKeys(event)
          void this.#guard(() => this.#open(event))
          break
        case 'slice':
          void this.#guard(() => this.#consume(event.slice, event.frame))
          break
        case 'adopted':
          this.#session = { ...this.#session!, session: event.session }
          this.#openKeys(this.#session)
          this.#log(`session ${formatId(event.session)} takes its place`)
          break
        case 'unfit':
          this.#log(event.text)
          break
        case 'complete':
          void this.#guard(() => this.#complete(event.end))
          break
        case 'acknowledged':
          this.#settle(undefined)
          break
        case 'failed':
          this.#settle(new SkilfishError(event.code, event.text))
          break
        default:
          event satisfies never
      }
    }
  }

  #openKeys({ announce, mode, session }: SessionEvent): void {
    this.#sessionKeys = this.#keys.open(session, announce.imageId, mode)
  }

  async #open({ announce, geometry, mode, session, sender }: SessionEvent): Promise<void> {
    const { imageId, imageName } = announce
    const protection = [mode.isKeyed ? ', encrypted' : '', mode.isSigned ? ', signed' : ''].join('')
    this.#log(`session ${formatId(session)} of ${sender.address}${protection}, image ${imageId} (${imageName})`)
    const { consumer, settled } = await this.#target!.begin(announce, geometry, digestKindOf(mode))
    this.#consumer = consumer
    this.#resumedSliceCount = settled?.count ?? 0
    this.#sessionUs = monotonicUs()
    this.#phase = 'receiving'
    this.#command({ kind: 'opened', ...(settled === undefined ? {} : { settled }) })
  }

  async #consume(slice: number, frame: Uint8Array): Promise<void> {
    const { opener } = this.#sessionKeys!
    const opened = opener === undefined ? frame : opener.open(slice, frame)
    const outcome = opened === undefined ? 'rejected' : await this.#consumer!.consume(slice, opened)
    if (outcome === 'rejected') this.#log(`slice ${slice} failed its digest and is asked for again`)
    // The slice before was rejected and comes again, or could not be written, which has ended the transfer.
    this.#command({ kind: outcome === 'early' ? 'rejected' : outcome, slice })
  }

  async #complete(end: End): Promise<void> {
    this.#end = end
    this.#phase = 'flushing'
    this.#tellProgress()
    this.#finished = await this.#target!.finish(end, (plain) => this.#sessionKeys!.rootDigest(plain))
    this.#log('complete, verified and flushed')
    this.#command({ kind: 'finished' })
  }

  #command(command: Parameters<ReceiverMachine['handleCommand']>[1]): void {
    this.#machine.handleCommand(monotonicUs(), command)
    this.#pump?.run()
  }

  async #guard(step: () => Promise<void>): Promise<void> {
    try {
      await step()
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Gives up because of something on our side: the sender is told. */
  #fail(cause: unknown): void {
    const error = cause instanceof Error ? cause : new Error(String(cause))
    this.#command({ kind: 'leave', reason: clipText(error.message) })
    this.#settle(error)
  }

  #tellProgress(): void {
    const elapsedUs = monotonicUs() - this.#beganUs
    const transferUs = this.#sessionUs === undefined ? 0 : monotonicUs() - this.#sessionUs
    const progress = receiveProgress(
      this.#phase,
      elapsedUs,
      transferUs,
      this.#session?.announce,
      this.#consumer,
      this.#resumedSliceCount,
      this.#machine.stats(),
    )
    this.#options.onProgress?.(progress)
    this.#progress.push(progress)
  }

  #log(line: string): void {
    this.#options.onLog?.(line)
  }

  #result(socket: UdpSocket): ReceiveResult {
    const { announce, session } = this.#session!
    const { imageBytes, dataBytes, sliceCount } = this.#end!
    const { rootDigest, fingerprint } = this.#finished!
    const nowUs = monotonicUs()
    return {
      ...{ imageId: announce.imageId, imageName: announce.imageName, sessionId: formatId(session) },
      ...{ imageBytes, dataBytes, sliceCount, rootDigest: Buffer.from(rootDigest).toString('hex') },
      ...(fingerprint === undefined ? {} : { fingerprint }),
      ...{ resumedBytes: this.#consumer!.resumedBytes, resumedSliceCount: this.#resumedSliceCount },
      elapsedMs: (nowUs - this.#beganUs) / 1000,
      transferMs: (nowUs - this.#sessionUs!) / 1000,
      ...{ stats: this.#machine.stats(), socket: socket.facts },
    }
  }
}

/** Loses that share of the packets that come in. */
function dropSome(socket: UdpSocket, ratio: number): void {
  const { onMessage } = socket
  socket.onMessage = (bytes, from) => {
    if (Math.random() >= ratio) onMessage(bytes, from)
  }
}
