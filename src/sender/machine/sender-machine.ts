import type { ErrorCode } from '../../errors.ts'
import {
  ANNOUNCE_INTERVAL_US,
  MIN_REPORT_INTERVAL_MS,
  clipText,
  encodeControl,
  encodeSealed,
  hasSession,
  imageTag,
  MAX_RUN_BYTES,
  MAX_RUN_PACKETS,
  maxFrameBytes,
  PacketType,
  packetTypeAt,
  refusalVersions,
  reportIntervalMs,
  sourceSymbolCount,
  type Announce,
  type ControlMessage,
  type End,
  type Machine,
  type Micros,
  type PeerAddress,
  type Phase,
  type Transmit,
} from '../../protocol/index.ts'
import { MAX_BITS_PER_SEC } from '../../ratelimit/index.ts'
import { DataStream } from './data-stream.ts'
import { failureOf } from './failure.ts'
import { FeedbackDesk } from './feedback-desk.ts'
import { FrameSupply } from './frame-supply.ts'
import { FrameWindow } from './frame-window.ts'
import { JoinGate } from './join-gate.ts'
import { NackDesk } from './nack-desk.ts'
import { Outbox } from './outbox.ts'
import { Pacer } from './pacer.ts'
import { Patience } from './patience.ts'
import { Refusals } from './refusals.ts'
import { RepairPlanner } from './repair-planner.ts'
import { Roster } from './roster.ts'
import type { ReceiverView, SenderCommand, SenderEvent, SenderMachineOptions, SenderStats } from './sender-options.ts'
import { SenderInbox } from './sender-inbox.ts'
import { SliceTable } from './slice-table.ts'
import { SLOW_GRACE_US, SlowReceivers } from './slow-receivers.ts'
import { StartPolicy } from './start-policy.ts'

/** How often silent receivers are looked for, microseconds. */
const CENSUS_INTERVAL_US = 100_000

/** The sending half of the protocol: see {@link Machine} for how to drive it. */
export class SenderMachine implements Machine<SenderCommand, SenderEvent, SenderStats> {
  readonly #options: SenderMachineOptions
  readonly #table = new SliceTable()
  readonly #roster = new Roster()
  readonly #window: FrameWindow
  readonly #planner: RepairPlanner
  readonly #inbox: SenderInbox
  readonly #outbox: Outbox
  readonly #stream: DataStream
  readonly #pacer: Pacer
  readonly #startPolicy: StartPolicy
  readonly #supply: FrameSupply
  readonly #nackDesk: NackDesk
  readonly #slow: SlowReceivers
  readonly #feedback: FeedbackDesk
  readonly #patience: Patience
  readonly #joinGate: JoinGate
  readonly #events: SenderEvent[] = []

  #phase: Phase | 'closing' | 'over' = 'gathering'
  /** The phase that a session that is closing was in. */
  #lastPhase: Phase = 'gathering'
  #end: End | undefined
  #expectedSliceCount: number | undefined
  #mendingUs = 0
  #censusUs: Micros
  #failed: { readonly code: ErrorCode; readonly text: string } | undefined
  #nowUs: Micros
  /** Counter of the sealed packet sent last. */
  #counter = 0
  readonly #refusals = new Refusals()

  readonly #counters = {
    ...{ wireBytes: 0, packets: 0, controlPackets: 0 },
    ...{ malformedPackets: 0, foreignPackets: 0, forgedPackets: 0 },
  }

  /** @param nowUs the time at which waiting for receivers begins */
  constructor(nowUs: Micros, options: SenderMachineOptions) {
    const { geometry, overheadBytes, trust, maxBitrate } = options
    this.#options = options
    this.#nowUs = nowUs
    this.#censusUs = nowUs + CENSUS_INTERVAL_US
    this.#window = new FrameWindow(geometry.symbolBytes)
    this.#planner = new RepairPlanner(this.#table, this.#window)
    this.#inbox = new SenderInbox(trust)
    this.#pacer = new Pacer(nowUs, geometry.packetBytes + overheadBytes, maxBitrate)
    this.#outbox = new Outbox((message) => this.#encode(message), this.#pacer.answers)
    this.#stream = new DataStream(options, this.#table, this.#window, this.#planner)
    this.#joinGate = new JoinGate(nowUs, trust === undefined ? 1 : 2)
    this.#startPolicy = new StartPolicy(nowUs, options, this.#joinGate)
    this.#supply = new FrameSupply(options, this.#table, this.#window, this.#planner, (event) => {
      if (event.kind === 'release') this.#stream.forget(event.frame)
      this.#events.push(event)
    })
    const sliceSymbols = sourceSymbolCount(maxFrameBytes(geometry.sliceBytes), geometry.symbolBytes)
    this.#nackDesk = new NackDesk(this.#window, this.#planner, this.#outbox, options.canReread, sliceSymbols)
    this.#slow = new SlowReceivers(nowUs, this.#roster, options)
    this.#feedback = new FeedbackDesk({
      ...{ roster: this.#roster, joinGate: this.#joinGate, startPolicy: this.#startPolicy, outbox: this.#outbox },
      ...{ stream: this.#stream, pacer: this.#pacer, slow: this.#slow, nackDesk: this.#nackDesk },
      isProtected: trust !== undefined,
      emit: (event) => this.#events.push(event),
    })
    this.#patience = new Patience(this.#roster, options.receiverTimeoutUs)
    this.#settle(nowUs)
  }

  handleDatagram(nowUs: Micros, from: PeerAddress, bytes: Uint8Array): void {
    this.#nowUs = nowUs
    if (this.#phase === 'over') return
    const type = packetTypeAt(bytes, 0, bytes.length)
    if (typeof type === 'string') {
      this.#counters.malformedPackets++
    } else if (!hasSession(bytes, 0, this.#options.session)) {
      this.#counters.foreignPackets++
    } else if (type === PacketType.refusal) {
      if (this.#refusals.isNew(from.address))
        this.#events.push({ kind: 'refused', address: from.address, ...refusalVersions(bytes, 0) })
    } else if (type === PacketType.control || type === PacketType.sealed) {
      const message = this.#inbox.open(bytes, type)
      if (message === 'malformed') this.#counters.malformedPackets++
      else if (message === 'forged') this.#counters.forgedPackets++
      else if (!this.#feedback.take(nowUs, from, message, this.#phase)) this.#counters.malformedPackets++
    }
    this.#settle(nowUs)
  }

  handleTimeout(nowUs: Micros): void {
    this.#nowUs = nowUs
    this.#settle(nowUs)
  }

  handleCommand(nowUs: Micros, command: SenderCommand): void {
    this.#nowUs = nowUs
    if (this.#phase === 'over') return
    switch (command.kind) {
      case 'start':
        this.#startPolicy.force()
        break
      case 'frame':
        this.#supply.take(nowUs, command.slice, command.frame)
        this.#expectedSliceCount = command.expectedSliceCount ?? this.#expectedSliceCount
        break
      case 'end':
        this.#supply.end()
        this.#end = { kind: 'end', isClosing: false, ...command.end }
        break
      case 'max-bitrate':
        this.#pacer.setCap(nowUs, command.bitsPerSec ?? MAX_BITS_PER_SEC)
        break
      case 'abort':
        if (this.#phase === 'closing') break
        this.#failed = { code: command.reason === 'interrupted' ? 'INTERRUPTED' : 'SOURCE_FAILED', text: command.text }
        this.#close(nowUs, { kind: 'abort', reason: command.reason, text: clipText(command.text) })
        break
      default:
        command satisfies never
    }
    this.#settle(nowUs)
  }

  pollTransmit(nowUs: Micros, into: Uint8Array): Transmit | undefined {
    this.#nowUs = nowUs
    if (this.#phase === 'closing' && this.#outbox.isEmpty) this.#finish()
    if (this.#phase === 'over' || this.#pacer.readyAtUs(nowUs, 1) > nowUs) return undefined
    const control = this.#outbox.poll(nowUs, (kind) => (kind === 'end' ? this.#end! : this.#announce(nowUs)))
    if (control !== undefined) {
      into.set(control)
      this.#counters.controlPackets++
      this.#countSent(nowUs, 1, control.length)
      return { bytes: control.length, segmentBytes: control.length }
    }
    if (!this.#isActive) return undefined
    const run = this.#pollData(nowUs, into)
    this.#settle(nowUs)
    return run
  }

  pollEvent(): SenderEvent | undefined {
    return this.#events.shift()
  }

  pollTimeout(): Micros | undefined {
    if (this.#phase === 'over') return undefined
    const nowUs = this.#nowUs
    let next = Math.max(this.#outbox.nextUs(nowUs), this.#pacer.readyAtUs(nowUs, 1))
    if (this.#phase === 'closing') return next
    next = Math.min(next, this.#censusUs)
    if (this.#phase === 'gathering') return Math.min(next, this.#startPolicy.decideAtUs(this.#roster.liveCount))
    const dataUs = this.#stream.readyAtUs(nowUs)
    if (dataUs === undefined) return next
    return Math.min(next, Math.max(dataUs, this.#pacer.readyAtUs(nowUs, this.#runPackets)))
  }

  stats(): SenderStats {
    return {
      ...this.#counters,
      ...this.#stream.counters,
      nacks: this.#feedback.nackCount,
      phase: this.#lastPhase,
      slicesBegun: this.#stream.begunCount,
      slicesTotal: this.#end?.sliceCount,
      slicesDeferred: this.#planner.deferredCount,
      slicesSpared: this.#stream.sparedCount,
      rateBitsPerSec: this.#pacer.bitsPerSec,
      grttUs: this.#roster.grttUs,
    }
  }

  /**
   * How much it keeps of everything that must not grow without bound, by name.
   * @internal for tests of docs/architecture.md, "Memory"
   */
  holdings(): Readonly<
    Record<'frames' | 'receivers' | 'dueRepairs' | 'askers' | 'packets' | 'acks' | 'echoes', number>
  > {
    const { size: frames } = this.#window
    const { addressCount: askers } = this.#nackDesk
    const { knownCount: receivers } = this.#roster
    return { frames, receivers, dueRepairs: this.#planner.dueCount, askers, ...this.#outbox.waiting }
  }

  /** How many {@link receivers} there are. */
  get receiverCount(): number {
    return this.#roster.knownCount
  }

  /** All receivers that ever joined. */
  receivers(): ReceiverView[] {
    return this.#roster.views()
  }

  /** What follows from a change of state: start, census, refill, change of phase, end. */
  #settle(nowUs: Micros): void {
    if (this.#phase === 'over' || this.#phase === 'closing') return
    if (nowUs >= this.#censusUs) this.#census(nowUs)
    if (this.#phase === 'gathering' && nowUs >= this.#startPolicy.decideAtUs(this.#roster.liveCount)) {
      this.#start(nowUs)
    }
    do this.#refill(nowUs)
    while (this.#phase === 'sending' && this.#stream.spare())
    if (this.#phase === 'sending' && this.#end?.sliceCount === this.#stream.passSlice) {
      this.#mendingUs = nowUs
      this.#enter('mending')
      this.#slow.startMending()
      this.#joinGate.startMending(nowUs)
      this.#outbox.startEnd(nowUs)
    }
    if (this.#isActive) this.#maybeClose(nowUs)
  }

  /** True from the start of the transfer until its last word. */
  get #isActive(): boolean {
    return this.#phase === 'sending' || this.#phase === 'mending'
  }

  #enter(phase: Phase): void {
    this.#phase = phase
    this.#lastPhase = phase
    this.#outbox.hurryAnnounce()
    this.#events.push({ kind: 'phase', phase })
  }

  #start(nowUs: Micros): void {
    const decision = this.#startPolicy.decide(nowUs, this.#roster.liveCount)
    if (decision === 'start') {
      this.#enter('sending')
      this.#pacer.start(nowUs)
      this.#censusUs = Math.min(this.#censusUs, nowUs + MIN_REPORT_INTERVAL_MS * 1000)
      return
    }
    this.#failed = { code: 'NO_RECEIVERS', text: decision.giveUp }
    this.#close(nowUs, { kind: 'abort', reason: 'sender-failed', text: decision.giveUp })
  }

  /** Says the last word; when it is out, the session is over. */
  #close(nowUs: Micros, lastWord: ControlMessage): void {
    this.#outbox.sayLast(nowUs, lastWord)
    this.#phase = 'closing'
  }

  /** Looks for receivers that have fallen silent; they are dropped so that nobody waits for them. */
  #census(nowUs: Micros): void {
    const intervalMs = this.#reportIntervalMs(nowUs)
    this.#censusUs = nowUs + Math.min(CENSUS_INTERVAL_US, intervalMs * 1000)
    const sentBitsPerSec = this.#pacer.tick(nowUs, intervalMs)
    if (sentBitsPerSec !== undefined && this.#isActive) this.#slow.noteInterval(sentBitsPerSec)
    const mending = { sinceUs: this.#mendingUs, from: 0, below: this.#end?.sliceCount ?? 0 }
    const waiting = this.#phase === 'mending' ? mending : this.#slow.waiting
    const drops = this.#patience.takeDrops(nowUs, this.#joinGate.settledUs, waiting)
    for (const { id, text } of drops) this.#feedback.drop(nowUs, id, 'too-slow', text)
  }

  /** Has the window filled, unless the frames that must be held leave no room: then whoever holds them up may have to go. */
  #refill(nowUs: Micros): void {
    const isMending = this.#phase === 'mending'
    const first = this.#slow.isHolding ? this.#window.first : Infinity
    const holdFrom = first === Infinity ? Infinity : this.#roster.settledBelow(first)
    const hasEnded = this.#end !== undefined
    const hasRoom = this.#supply.refill({ isMending, hasEnded, passSlice: this.#stream.passSlice, holdFrom })
    const isHeldUp = !hasRoom && holdFrom < this.#stream.passSlice
    this.#slow.noteHeldUp(nowUs, isHeldUp ? holdFrom : undefined)
    if (!isHeldUp) return
    const text = `too slow: held the others up for ${SLOW_GRACE_US / 1e6} s`
    for (const id of this.#slow.takeDrops(holdFrom, this.#window.sentUs(holdFrom))) {
      this.#feedback.drop(nowUs, id, 'too-slow', text)
    }
  }

  #announce(nowUs: Micros): Announce {
    const { imageId, imageName, imageBytes, geometry, codec, receiverTimeoutUs } = this.#options
    const { grttUs } = this.#roster
    const expectedSliceCount = this.#end?.sliceCount ?? this.#expectedSliceCount
    this.#joinGate.step(nowUs)
    this.#outbox.announceBy(nowUs + this.#joinGate.announceGapUs(grttUs))
    const { groupCount } = this.#feedback
    return {
      ...{ kind: 'announce', imageId, imageName, imageBytes: this.#end?.imageBytes ?? imageBytes, codec },
      ...{ sliceBytes: geometry.sliceBytes, packetBytes: geometry.packetBytes },
      phase: this.#lastPhase,
      begunCount: this.#stream.begunCount,
      feedback: {
        ...{ grttUs, groupCount, reportIntervalMs: this.#reportIntervalMs(nowUs) },
        receiverTimeoutMs: Math.round(receiverTimeoutUs / 1000),
        joinLimit: this.#joinGate.limit,
      },
      sentAtUs: nowUs >>> 0,
      rateBitsPerSec: this.#pacer.bitsPerSec,
      ...(expectedSliceCount === undefined ? {} : { expectedSliceCount }),
    }
  }

  #reportIntervalMs(nowUs: Micros): number {
    return reportIntervalMs(this.#roster.groupCount, this.#pacer.leastReportIntervalMs(nowUs, this.#roster.grttUs))
  }

  /** Packets that go out as one run. */
  get #runPackets(): number {
    const runLimit = Math.min(MAX_RUN_PACKETS, Math.floor(MAX_RUN_BYTES / this.#options.geometry.packetBytes))
    return Math.min(runLimit, this.#pacer.batchPackets)
  }

  #pollData(nowUs: Micros, into: Uint8Array): Transmit | undefined {
    const { packetBytes } = this.#options.geometry
    const wanted = this.#runPackets
    if (this.#pacer.readyAtUs(nowUs, wanted) > nowUs) return undefined
    let count = 0
    const group = { groupCount: this.#feedback.groupCount, grttUs: this.#roster.grttUs }
    while (count < wanted && this.#stream.nextInto(nowUs, into, count * packetBytes, group)) count++
    this.#pacer.setBusy(nowUs, count > 0)
    if (count === 0) return undefined
    this.#countSent(nowUs, count, count * packetBytes)
    return { bytes: count * packetBytes, segmentBytes: packetBytes }
  }

  #countSent(nowUs: Micros, packets: number, bytes: number): void {
    const wireBytes = bytes + packets * this.#options.overheadBytes
    this.#pacer.spend(nowUs, wireBytes)
    this.#counters.packets += packets
    this.#counters.wireBytes += wireBytes
  }

  #maybeClose(nowUs: Micros): void {
    if (this.#roster.liveCount > 0 || nowUs < this.#joinGate.settledUs) return
    const hasNobody = this.#roster.knownCount === 0
    if (hasNobody && (this.#phase !== 'mending' || nowUs < this.#mendingUs + 2 * ANNOUNCE_INTERVAL_US)) return
    this.#failed = failureOf(this.#roster.views())
    const last: ControlMessage =
      this.#phase === 'mending' && this.#end !== undefined
        ? { ...this.#end, isClosing: true }
        : { kind: 'abort', reason: 'sender-failed', text: 'no receiver is left' }
    this.#close(nowUs, last)
  }

  /** The whole packet, sealed when the session is protected. */
  #encode(message: ControlMessage): Uint8Array {
    const { session, imageId, trust } = this.#options
    const tag = imageTag(imageId)
    if (trust === undefined) return encodeControl(message, session, tag)
    return encodeSealed(message, session, tag, ++this.#counter, trust, trust)
  }

  #finish(): void {
    this.#phase = 'over'
    this.#events.push(this.#failed === undefined ? { kind: 'finished' } : { kind: 'finished', failed: this.#failed })
  }
}
