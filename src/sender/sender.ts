import { createHash, randomBytes } from 'node:crypto'
import { basename } from 'node:path'
import { SkilfishError } from '../errors.ts'
import { FecEncoder } from '../fec/index.ts'
import {
  MachinePump,
  monotonicUs,
  openSpool,
  openUdpSocket,
  parseGroup,
  resolveInterface,
  secureRandom,
  type NetworkInterface,
  type Spool,
  type UdpSocket,
} from '../io/index.ts'
import {
  clipText,
  DEFAULT_GROUP,
  DEFAULT_MTU_BYTES,
  DEFAULT_PORT,
  DEFAULT_SILENCE_MS,
  digestKindOf,
  drawId,
  formatId,
  overheadBytes,
  planGeometry,
  type Geometry,
  type Id64,
} from '../protocol/index.ts'
import { interrupted, throwIfAborted } from '../interruption.ts'
import { ProgressStream } from '../progress-stream.ts'
import { isRandomAccess, type ImageSource } from '../sparse/index.ts'
import { SenderKeys, type SenderSession } from '../trust/index.ts'
import { checkMaxBitrate, checkSendOptions, codecOf } from './check-options.ts'
import { EncoderPool } from './encoder-pool.ts'
import { FrameProducer } from './frame-producer.ts'
import { SenderMachine, type ReceiverView, type SenderEvent } from './machine/index.ts'
import { openImage } from './open-image.ts'
import { receiversOf, sendProgress } from './send-progress.ts'
import {
  ReceiversFailedError,
  type SendHandle,
  type SendOptions,
  type SendProgress,
  type SendResult,
} from './send-options.ts'

/** How often progress is told, milliseconds. */
const PROGRESS_INTERVAL_MS = 250

/** But no more often than this for each receiver, milliseconds: progress names all, and anybody may make thousands up. */
const PROGRESS_RECEIVER_MS = 0.25

/** Lines of the log about receivers, at most: anybody may make up ever new ones. Ours. */
const MAX_RECEIVER_LINES = 4096

/**
 * Sends an image to every receiver of a group.
 *
 * Returns at once; the transfer begins when the start policy of the options allows. The process is kept alive until it ends.
 * @throws RangeError or TypeError when an option is out of its bounds, of another type, or not one of these
 * @example
 * const transfer = send({ source: 'disk.raw', interface: 'eth0', maxBitrate: 320e6 })
 * for await (const { percent } of transfer.progress()) console.log(percent)
 * console.log(await transfer.finished)
 */
export function send(options: SendOptions): SendHandle {
  checkSendOptions(options)
  return new Transfer(options)
}

class Transfer implements SendHandle {
  readonly finished: Promise<SendResult>
  readonly #options: SendOptions
  readonly #progress = new ProgressStream<SendProgress>()
  readonly #beganUs = monotonicUs()
  #maxBitrate: number | undefined
  #machine: SenderMachine | undefined
  #pump: MachinePump | undefined
  #producer: FrameProducer | undefined
  #session: SenderSession | undefined
  #firstDataUs: number | undefined
  #isStartForced = false
  /** What ended the transfer on our side: takes the place of what the machine says. */
  #cause: unknown
  #receiverLines = 0
  /** Ids of receivers that were told of before they had a name. */
  readonly #joinedUnnamed = new Set<string>()
  #wantedNext = 0
  readonly #wantedAgain: number[] = []
  #isProducing = false
  #resolveOver!: (event: SenderEvent & { kind: 'finished' }) => void
  readonly #over = new Promise<SenderEvent & { kind: 'finished' }>((resolve) => (this.#resolveOver = resolve))

  constructor(options: SendOptions) {
    this.#options = options
    this.#maxBitrate = options.maxBitrate
    this.finished = this.#run().finally(() => this.#progress.end())
    // Whoever does not look at `finished` has not lost the error: it is theirs to look.
    this.finished.catch(() => undefined)
  }

  progress(): AsyncIterable<SendProgress> {
    return this.#progress.values()
  }

  get maxBitrate(): number | undefined {
    return this.#maxBitrate
  }

  setMaxBitrate(bitsPerSec: number | undefined): void {
    checkMaxBitrate(bitsPerSec)
    this.#maxBitrate = bitsPerSec
    this.#machine?.handleCommand(monotonicUs(), { kind: 'max-bitrate', bitsPerSec })
    this.#pump?.run()
  }

  start(): void {
    this.#isStartForced = true
    this.#machine?.handleCommand(monotonicUs(), { kind: 'start' })
    this.#pump?.run()
  }

  async #run(): Promise<SendResult> {
    const { signal, spool: spoolPath, compress = 'lzo', source: given } = this.#options
    const group = parseGroup(this.#options.group ?? DEFAULT_GROUP, DEFAULT_PORT)
    const networkInterface = resolveInterface(this.#options.interface, group.family)
    const mtuBytes = fittingMtu(this.#options.mtuBytes, networkInterface)
    const keys = await SenderKeys.load(this.#options)
    const geometry = planGeometry({ ...this.#options, mtuBytes, family: group.family, isKeyed: keys.isKeyed })
    const codec = codecOf(compress)
    throwIfAborted(signal)
    const source = typeof given === 'string' ? await openImage(given) : given
    let spool: Spool | undefined
    let socket: UdpSocket | undefined
    let timer: NodeJS.Timeout | undefined
    const abort = (): void => this.#abort('interrupted', interrupted())
    try {
      if (spoolPath !== undefined && !isRandomAccess(source)) spool = await openSpool(spoolPath)
      const { ttl, offload, feedbackPort } = this.#options
      socket = await openUdpSocket({
        ...{ group, role: 'sender', interface: networkInterface },
        ...(ttl === undefined ? {} : { ttl }),
        ...(offload === undefined ? {} : { offload }),
        ...(feedbackPort === undefined ? {} : { feedbackPort }),
      })
      throwIfAborted(signal)
      const session = drawId(secureRandom)
      const identity = this.#identity(source, geometry, codec)
      this.#session = keys.open(session, identity.imageId)
      const { sealer } = this.#session
      this.#producer = new FrameProducer({
        ...{ source, geometry, sealer, encoder: new EncoderPool({ codec, digestKind: digestKindOf(keys) }) },
        ...(spool === undefined ? {} : { spool }),
      })
      const machine = this.#makeMachine(session, identity, source, geometry, codec, overheadBytes(group.family))
      this.#pump = new MachinePump(machine, socket, {
        onProgress: () => this.#handleEvents(),
        onError: (error) => this.#abort('sender-failed', error),
      })
      signal?.addEventListener('abort', abort, { once: true })
      let dueMs = 0
      timer = setInterval(() => {
        if (performance.now() < dueMs) return
        this.#tellProgress()
        const receiverCount = this.#machine?.receiverCount ?? 0
        dueMs = performance.now() + receiverCount * PROGRESS_RECEIVER_MS - PROGRESS_INTERVAL_MS / 2
      }, PROGRESS_INTERVAL_MS)
      if (this.#isStartForced) this.start()
      const protection = [keys.isKeyed ? ', encrypted' : '', keys.isSigned ? ', signed' : ''].join('')
      this.#log(`session ${formatId(session)}${protection}, image ${identity.imageId} (${identity.imageName})`)
      if (!this.#producer.canReread && (this.#options.onSlow ?? 'defer') === 'defer')
        this.#log('the source is read once, and there is no spool: receivers that cannot keep up are waited for')
      this.#pump.run()
      const event = await this.#over
      await this.#pump.drained()
      this.#tellProgress()
      const result = this.#result(session, identity, socket)
      if (this.#cause !== undefined) throw toError(this.#cause)
      if (event.failed?.code === 'RECEIVERS_FAILED') throw new ReceiversFailedError(event.failed.text, result)
      if (event.failed !== undefined) throw new SkilfishError(event.failed.code, event.failed.text)
      return result
    } finally {
      clearInterval(timer)
      signal?.removeEventListener('abort', abort)
      this.#pump?.stop()
      await socket?.close()
      await this.#producer?.close()
      await spool?.close()
      await source.close?.()
    }
  }

  #makeMachine(
    session: Id64,
    identity: { imageId: string; imageName: string },
    source: ImageSource,
    geometry: Geometry,
    codec: number,
    overhead: number,
  ): SenderMachine {
    const options = this.#options
    const us = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : Math.round(ms * 1000))
    this.#machine = new SenderMachine(monotonicUs(), {
      ...{ session, ...identity, imageBytes: source.sizeBytes, geometry, overheadBytes: overhead, codec },
      ...{ encoder: new FecEncoder(), windowSlices: options.windowSlices ?? 256 },
      ...(this.#session?.trust && { trust: this.#session.trust }),
      canReread: this.#producer!.canReread,
      minReceivers: options.minReceivers ?? 1,
      minWaitUs: us(options.minWaitMs) ?? 0,
      maxWaitUs: us(options.maxWaitMs),
      startTimeoutUs: us(options.startTimeoutMs),
      receiverTimeoutUs: us(options.receiverTimeoutMs) ?? DEFAULT_SILENCE_MS * 1000,
      onSlow: options.onSlow ?? 'defer',
      fec: options.fec ?? 'auto',
      maxBitrate: this.#maxBitrate,
    })
    return this.#machine
  }

  #identity(source: ImageSource, geometry: Geometry, codec: number): { imageId: string; imageName: string } {
    const imageName = this.#options.name ?? clipText(basename(source.label))
    if (this.#options.imageId !== undefined) return { imageId: this.#options.imageId, imageName }
    if (source.identity === undefined) return { imageId: randomBytes(8).toString('hex'), imageName }
    const hash = createHash('sha256').update(JSON.stringify([source.identity, geometry, codec]))
    return { imageId: hash.digest('hex').slice(0, 16), imageName }
  }

  #handleEvents(): void {
    const machine = this.#machine
    if (machine === undefined) return
    for (;;) {
      const event = machine.pollEvent()
      if (event === undefined) break
      if (event.kind === 'next') this.#wantedNext++
      else if (event.kind === 'again') this.#wantedAgain.push(event.slice)
      else this.#handleEvent(event)
    }
    if (!this.#isProducing && (this.#wantedNext > 0 || this.#wantedAgain.length > 0)) void this.#produce()
  }

  #handleEvent(event: Exclude<SenderEvent, { kind: 'next' | 'again' }>): void {
    switch (event.kind) {
      case 'release':
        this.#producer?.release(event.frame)
        break
      case 'phase':
        if (event.phase === 'sending') this.#firstDataUs = monotonicUs()
        this.#log(event.phase === 'sending' ? 'sending' : 'all sent, mending what is missing')
        this.#tellProgress()
        break
      case 'receiver':
        this.#logReceiver(event.receiver)
        break
      case 'refused':
        this.#log(`${event.address} speaks only protocol versions ${event.oldest} to ${event.newest} and takes no part`)
        break
      case 'finished':
        this.#resolveOver(event)
        break
      default:
        event satisfies never
    }
  }

  /** Makes the frames that the machine has asked for, one after the other: repairs first. */
  async #produce(): Promise<void> {
    const machine = this.#machine!
    const producer = this.#producer!
    this.#isProducing = true
    try {
      for (;;) {
        const again = this.#wantedAgain.shift()
        if (again !== undefined) {
          const frame = await producer.again(again)
          machine.handleCommand(monotonicUs(), { kind: 'frame', slice: again, frame })
        } else if (this.#wantedNext > 0) {
          this.#wantedNext--
          const made = await producer.next()
          if (made === undefined) {
            this.#wantedNext = 0
            const totals = await producer.finish()
            const rootDigest = this.#session!.rootDigest(totals.rootDigest)
            machine.handleCommand(monotonicUs(), { kind: 'end', end: { ...totals, rootDigest } })
          } else {
            const { expectedSliceCount } = producer
            machine.handleCommand(monotonicUs(), { kind: 'frame', ...made, expectedSliceCount })
          }
        } else {
          return
        }
        this.#pump?.run()
      }
    } catch (error) {
      this.#abort('sender-failed', error)
    } finally {
      this.#isProducing = false
    }
  }

  #abort(reason: 'interrupted' | 'sender-failed', cause: unknown): void {
    if (this.#cause !== undefined) return
    this.#cause = cause
    this.#machine?.handleCommand(monotonicUs(), { kind: 'abort', reason, text: clipText(toError(cause).message) })
    this.#pump?.run()
  }

  #tellProgress(): void {
    if (this.#machine === undefined || this.#producer === undefined) return
    const progress = sendProgress(this.#machine, this.#producer, monotonicUs() - this.#beganUs, this.#firstDataUs)
    this.#options.onProgress?.(progress)
    this.#progress.push(progress)
  }

  #logReceiver({ id, name, address, state, reason }: ReceiverView): void {
    if (this.#receiverLines++ >= MAX_RECEIVER_LINES) return
    // One that comes late may ask for repairs before its Join tells its name.
    if (name === id) this.#joinedUnnamed.add(id)
    const place = name !== id && this.#joinedUnnamed.has(id) ? `${address}, joined as ${id}` : address
    this.#log(`receiver ${name} (${place}) ${state === 'live' ? 'joined' : state}${reason && `: ${reason}`}`)
    if (this.#receiverLines === MAX_RECEIVER_LINES)
      this.#log('so many receivers came and went that no more is told of them')
  }

  #log(line: string): void {
    this.#options.onLog?.(line)
  }

  #result(session: Id64, identity: { imageId: string; imageName: string }, socket: UdpSocket): SendResult {
    const nowUs = monotonicUs()
    const { imageBytes, dataBytes, frameBytes, sliceCount, rootDigest } = this.#producer!.totals
    const readBytes = rootDigest.length > 0 ? imageBytes : this.#producer!.positionBytes
    return {
      ...{ ...identity, sessionId: formatId(session), imageBytes, dataBytes, holeBytes: readBytes - dataBytes },
      ...{ frameBytes, sliceCount, rootDigest: Buffer.from(rootDigest).toString('hex') },
      elapsedMs: (nowUs - this.#beganUs) / 1000,
      transferMs: (nowUs - (this.#firstDataUs ?? nowUs)) / 1000,
      ...{ stats: this.#machine!.stats(), receivers: receiversOf(this.#machine!, sliceCount), socket: socket.facts },
    }
  }
}

/**
 * The MTU to plan for: what was asked for, else Ethernet's or the interface's, whichever is smaller.
 * @throws SkilfishError OPTION_INVALID when the interface cannot carry what was asked for
 */
function fittingMtu(wanted: number | undefined, networkInterface: NetworkInterface | undefined): number {
  const most = networkInterface?.mtuBytes
  if (most === undefined || (wanted ?? 0) <= most)
    return wanted ?? Math.min(DEFAULT_MTU_BYTES, most ?? DEFAULT_MTU_BYTES)
  const text = `cannot send packets of MTU ${wanted} on ${networkInterface?.name}, whose MTU is ${most}`
  throw new SkilfishError('OPTION_INVALID', `${text}: use --mtu ${most} or less`)
}

const toError = (cause: unknown): Error => (cause instanceof Error ? cause : new Error(String(cause)))
