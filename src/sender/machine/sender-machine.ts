import type { ErrorCode } from '../../errors.ts'
import {
  aggregationUs,
  ANNOUNCE_INTERVAL_US,
  clipText,
  decodeControl,
  hasSession,
  holdoffUs,
  imageTag,
  MAX_RUN_BYTES,
  MAX_RUN_PACKETS,
  MAX_SLICE_COUNT,
  MAX_SYMBOL_COUNT,
  PacketType,
  packetTypeAt,
  refusalVersions,
  reportIntervalMs,
  type Announce,
  type ControlMessage,
  type End,
  type Id64,
  type Machine,
  type Micros,
  type Nack,
  type PeerAddress,
  type Phase,
  type Report,
  type Transmit,
} from '../../protocol/index.ts'
import { MAX_BITS_PER_SEC } from '../../ratelimit/index.ts'
import { FrameWindow } from './frame-window.ts'
import { Outbox } from './outbox.ts'
import { PacketWriter } from './packet-writer.ts'
import { Pacer } from './pacer.ts'
import { RepairPlanner } from './repair-planner.ts'
import { Roster } from './roster.ts'
import type { ReceiverView, SenderCommand, SenderEvent, SenderMachineOptions, SenderStats } from './sender-options.ts'
import { SliceTable } from './slice-table.ts'
import { StartPolicy } from './start-policy.ts'

/** Slices read ahead of the one being sent. */
const READ_AHEAD_SLICES = 16

/** With `drop`, how long the others wait for a slow receiver before it goes, microseconds. Ours. */
const SLOW_GRACE_US = 2_000_000

/** How often silent receivers are looked for, microseconds. */
const CENSUS_INTERVAL_US = 100_000

/** A last word is said three times, this far apart, microseconds. */
const LAST_WORDS = { times: 3, gapUs: 10_000 } as const

/** Groups of at most this many receivers get no parity unasked under `auto`: repair on request costs less there. Ours. */
const PROACTIVE_FROM_COUNT = 9

/** The sending half of the protocol: see {@link Machine} for how to drive it. */
export class SenderMachine implements Machine<SenderCommand, SenderEvent, SenderStats> {
  readonly #options: SenderMachineOptions
  readonly #table = new SliceTable()
  readonly #roster = new Roster()
  readonly #window: FrameWindow
  readonly #planner: RepairPlanner
  readonly #outbox: Outbox
  readonly #writer: PacketWriter
  readonly #pacer: Pacer
  readonly #startPolicy: StartPolicy
  readonly #events: SenderEvent[] = []

  #phase: Phase | 'closing' | 'over' = 'gathering'
  /** The first pass: slice and symbol to send next. */
  #passSlice = 0
  #passSymbol = 0
  #begunCount = 0
  #givenCount = 0
  #nextCredits = 0
  readonly #again = new Set<number>()
  #end: End | undefined
  #mendingUs = 0
  #blockedSinceUs: Micros | undefined
  #censusUs: Micros
  #tokensReadyUs: Micros | undefined
  #failed: { readonly code: ErrorCode; readonly text: string } | undefined
  #nowUs: Micros
  #lossRatio = 0

  #counters = {
    ...{ wireBytes: 0, packets: 0, sourceSymbols: 0, proactiveSymbols: 0, paritySymbols: 0, resentSymbols: 0 },
    ...{ controlPackets: 0, nacks: 0, malformedPackets: 0, foreignPackets: 0 },
  }

  /** @param nowUs the time at which waiting for receivers begins */
  constructor(nowUs: Micros, options: SenderMachineOptions) {
    const { geometry, overheadBytes, session, imageId, maxBitrate } = options
    this.#options = options
    this.#nowUs = nowUs
    this.#censusUs = nowUs + CENSUS_INTERVAL_US
    this.#window = new FrameWindow(geometry.symbolBytes)
    this.#planner = new RepairPlanner(this.#table, this.#window)
    this.#outbox = new Outbox(session, imageTag(imageId))
    this.#writer = new PacketWriter(options)
    this.#pacer = new Pacer(nowUs, geometry.packetBytes + overheadBytes, maxBitrate)
    this.#startPolicy = new StartPolicy(nowUs, options)
    this.#refill(nowUs)
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
      this.#events.push({ kind: 'refused', address: from.address, ...refusalVersions(bytes, 0) })
    } else if (type === PacketType.control) {
      const message = decodeControl(bytes, 0, bytes.length)
      if (typeof message === 'string') this.#counters.malformedPackets++
      else this.#handleMessage(nowUs, from, message)
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
        this.#takeFrame(nowUs, command.slice, command.frame)
        break
      case 'end':
        this.#nextCredits = 0
        this.#end = { kind: 'end', isClosing: false, ...command.end }
        break
      case 'max-bitrate':
        this.#pacer.setCap(nowUs, command.bitsPerSec ?? MAX_BITS_PER_SEC)
        break
      case 'abort':
        this.#outbox.say(
          nowUs,
          { kind: 'abort', reason: command.reason, text: command.text },
          LAST_WORDS.times,
          LAST_WORDS.gapUs,
        )
        this.#failed = {
          code: command.reason === 'interrupted' ? 'INTERRUPTED' : 'SOURCE_FAILED',
          text: command.text,
        }
        this.#close(nowUs, { kind: 'abort', reason: command.reason, text: command.text })
        break
      default:
        command satisfies never
    }
    this.#settle(nowUs)
  }

  pollTransmit(nowUs: Micros, into: Uint8Array): Transmit | undefined {
    this.#nowUs = nowUs
    if (this.#phase === 'over') return undefined
    this.#tokensReadyUs = this.#pacer.readyAtUs(nowUs, 1)
    if (this.#tokensReadyUs > nowUs) return undefined
    const control = this.#outbox.poll(nowUs, (kind) => (kind === 'end' ? this.#end! : this.#announce(nowUs)))
    if (control !== undefined) {
      into.set(control)
      this.#counters.controlPackets++
      this.#countSent(nowUs, 1, control.length)
      return { bytes: control.length, segmentBytes: control.length }
    }
    if (this.#phase === 'closing') {
      if (this.#outbox.isEmpty) this.#finish()
      return undefined
    }
    const run = this.#phase === 'gathering' ? undefined : this.#pollData(nowUs, into)
    this.#settle(nowUs)
    return run
  }

  pollEvent(): SenderEvent | undefined {
    return this.#events.shift()
  }

  pollTimeout(): Micros | undefined {
    if (this.#phase === 'over') return undefined
    const nowUs = this.#nowUs
    let next = Math.min(this.#outbox.nextUs(nowUs), this.#censusUs)
    if (this.#phase === 'gathering') next = Math.min(next, this.#startPolicy.decideAtUs(this.#roster.liveCount))
    if (this.#tokensReadyUs !== undefined) next = Math.min(next, this.#tokensReadyUs)
    return Math.min(next, this.#planner.nextDueUs() ?? Infinity)
  }

  stats(): SenderStats {
    return {
      ...this.#counters,
      phase: this.#phase === 'closing' || this.#phase === 'over' ? 'mending' : this.#phase,
      slicesBegun: this.#begunCount,
      slicesTotal: this.#end?.sliceCount,
      slicesDeferred: this.#planner.deferredCount,
      rateBitsPerSec: this.#pacer.bitsPerSec,
      grttUs: this.#roster.grttUs,
    }
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
    this.#refill(nowUs)
    if (this.#phase === 'sending' && this.#end?.sliceCount === this.#passSlice) {
      this.#mendingUs = nowUs
      this.#enter('mending')
      this.#outbox.startEnd(nowUs)
    }
    if (this.#phase !== 'gathering') this.#maybeClose(nowUs)
  }

  #enter(phase: Phase): void {
    this.#phase = phase
    this.#outbox.hurryAnnounce()
    this.#events.push({ kind: 'phase', phase })
  }

  #start(nowUs: Micros): void {
    const decision = this.#startPolicy.decide(nowUs, this.#roster.liveCount)
    if (decision === 'start') {
      this.#enter('sending')
      return
    }
    this.#failed = { code: 'NO_RECEIVERS', text: decision.giveUp }
    this.#close(nowUs, { kind: 'abort', reason: 'sender-failed', text: decision.giveUp })
  }

  /** Says the last word; when it is out, the session is over. */
  #close(nowUs: Micros, lastWord: ControlMessage): void {
    this.#outbox.say(nowUs, lastWord, LAST_WORDS.times, LAST_WORDS.gapUs)
    this.#phase = 'closing'
  }

  #handleMessage(nowUs: Micros, from: PeerAddress, message: ControlMessage): void {
    if (!('receiver' in message) || message.receiver === undefined || message.kind === 'abort') {
      this.#counters.malformedPackets++
      return
    }
    const id = message.receiver
    const before = this.#roster.hear(nowUs, id, 'name' in message ? message.name : undefined, from.address)
    if (before === 'full') {
      this.#refuse(nowUs, id, 'too-many-receivers', 'the session has no room for another receiver')
      return
    }
    if (before === 'new') {
      this.#startPolicy.noteJoin(nowUs)
      this.#tell(id)
    }
    if (before === 'dropped') {
      this.#refuse(nowUs, id, 'too-slow', this.#roster.view(id)?.reason ?? '')
      return
    }
    if (message.kind === 'join') this.#outbox.acknowledgeJoin(id)
    else if (message.kind === 'report') this.#handleReport(nowUs, message)
    else if (message.kind === 'nack') this.#handleNack(nowUs, message)
    else if (message.kind === 'done') {
      this.#outbox.acknowledgeDone(id)
      this.#retire(id, 'done', '')
    } else this.#retire(id, 'left', message.reason)
  }

  #handleReport(nowUs: Micros, report: Report): void {
    this.#roster.report(nowUs, report)
    const packets = report.receivedPackets + report.lostPackets
    if (packets > 0) this.#lossRatio += 0.1 * (report.lostPackets / packets - this.#lossRatio)
    this.#pacer.handleReport(nowUs, report, this.#roster.grttUs)
  }

  #handleNack(nowUs: Micros, nack: Nack): void {
    this.#counters.nacks++
    const { liveCount, grttUs } = this.#roster
    const dueUs = nowUs + aggregationUs(liveCount, grttUs)
    const guardUs = holdoffUs(liveCount, grttUs) / 2
    let isGone = false
    for (const asked of nack.deficits) {
      if (asked.slice >= this.#passSlice || asked.deficit === 0) continue
      isGone ||= this.#isGone(asked.slice)
      const pending = this.#planner.ask(nowUs, asked, dueUs, guardUs)
      if (pending === undefined) continue
      if (this.#window.has(asked.slice)) this.#outbox.echo(asked.slice, pending)
      else this.#outbox.echoDeferred({ first: asked.slice, count: 1 })
    }
    for (const range of nack.missing) {
      const count = Math.min(range.count, this.#passSlice - range.first)
      if (count <= 0) continue
      isGone ||= this.#isGone(range.first)
      this.#planner.askAll(nowUs, { first: range.first, count }, dueUs, guardUs)
      this.#outbox.echoDeferred({ first: range.first, count })
    }
    if (isGone) {
      const text = 'the source cannot be read again and the sender has no spool'
      this.#retire(nack.receiver, 'dropped', 'came too late: ' + text)
      this.#refuse(nowUs, nack.receiver, 'data-gone', text)
    }
  }

  /** True when a slice has left memory for good. */
  #isGone(sliceIndex: number): boolean {
    return !this.#options.canReread && !this.#window.has(sliceIndex)
  }

  #refuse(nowUs: Micros, receiver: Id64, reason: 'too-slow' | 'data-gone' | 'too-many-receivers', text: string): void {
    this.#outbox.say(nowUs, { kind: 'abort', receiver, reason, text: clipText(text) }, 1, 0)
  }

  #retire(id: Id64, state: 'done' | 'left' | 'dropped', reason: string): void {
    if (this.#roster.retire(id, state, reason)) this.#tell(id)
  }

  #tell(id: Id64): void {
    const receiver = this.#roster.view(id)
    if (receiver !== undefined) this.#events.push({ kind: 'receiver', receiver })
  }

  /** Looks for receivers that have fallen silent; they are dropped so that nobody waits for them. */
  #census(nowUs: Micros): void {
    this.#censusUs = nowUs + CENSUS_INTERVAL_US
    this.#pacer.tick(nowUs, reportIntervalMs(this.#roster.liveCount))
    const { receiverTimeoutUs } = this.#options
    const limitUs = Math.max(receiverTimeoutUs, 3000 * reportIntervalMs(this.#roster.liveCount))
    for (const id of this.#roster.silentSince(nowUs - limitUs)) {
      const text = `silent for ${Math.round(limitUs / 1e6)} s`
      this.#retire(id, 'dropped', text)
      this.#refuse(nowUs, id, 'too-slow', text)
    }
  }

  /** Asks the driver for frames while there is room, and makes room where the policy allows. */
  #refill(nowUs: Micros): void {
    const limit = this.#options.windowSlices
    const readAhead = Math.min(READ_AHEAD_SLICES, limit >> 1)
    const isMending = this.#phase === 'mending'
    for (;;) {
      const wantsNext = this.#end === undefined && this.#givenCount + this.#nextCredits - this.#passSlice < readAhead
      const wantsAgain = isMending && this.#again.size < readAhead && this.#planner.deferredCount > this.#again.size
      if (!wantsNext && !wantsAgain) return
      if (this.#window.size + this.#nextCredits + this.#again.size >= limit && !this.#evict(nowUs)) return
      if (wantsNext) {
        this.#nextCredits++
        this.#events.push({ kind: 'next' })
      } else {
        const slice = this.#planner.takeDeferred(
          this.#begunCount,
          (index) => this.#window.has(index) || this.#again.has(index),
        )
        if (slice === undefined) return
        this.#again.add(slice)
        this.#events.push({ kind: 'again', slice })
      }
    }
  }

  /** Lets the oldest frame go, unless live receivers still need it and it could not be had again (or the policy is to wait). */
  #evict(nowUs: Micros): boolean {
    const { onSlow, canReread } = this.#options
    const isMending = this.#phase === 'mending'
    const mustHold = !canReread || (onSlow !== 'defer' && !isMending)
    const below = mustHold ? Math.min(this.#passSlice, this.#roster.settledBelow) : this.#passSlice
    const slice = this.#window.oldest((index) => index < below && (!isMending || this.#table.pending(index) === 0))
    if (slice === undefined) {
      if (mustHold && below < this.#passSlice) this.#dropSlow(nowUs)
      return false
    }
    this.#blockedSinceUs = undefined
    this.#planner.evict(slice)
    const frame = this.#window.remove(slice)
    if (frame !== undefined) {
      this.#writer.forget(frame)
      this.#events.push({ kind: 'release', frame })
    }
    return true
  }

  #dropSlow(nowUs: Micros): void {
    this.#blockedSinceUs ??= nowUs
    if (this.#options.onSlow !== 'drop' || nowUs - this.#blockedSinceUs < SLOW_GRACE_US) return
    this.#blockedSinceUs = undefined
    for (const id of this.#roster.behind(this.#roster.settledBelow + 1)) {
      const text = `too slow: held the others back for ${SLOW_GRACE_US / 1e6} s`
      this.#retire(id, 'dropped', text)
      this.#refuse(nowUs, id, 'too-slow', text)
    }
  }

  #takeFrame(nowUs: Micros, slice: number, frame: Uint8Array): void {
    if (this.#again.delete(slice)) {
      this.#window.add(slice, frame)
      this.#planner.restore(nowUs, slice, this.#window.sourceSymbolCount(slice)!)
      return
    }
    if (slice !== this.#givenCount || this.#nextCredits === 0) throw new RangeError(`slice ${slice} was not asked for`)
    if (slice >= MAX_SLICE_COUNT) throw new RangeError(`an image has at most ${MAX_SLICE_COUNT} slices`)
    this.#nextCredits--
    this.#givenCount++
    this.#table.reach(slice)
    this.#window.add(slice, frame)
  }

  #announce(nowUs: Micros): Announce {
    const { imageId, imageName, imageBytes, geometry, codec, receiverTimeoutUs } = this.#options
    const groupCount = this.#roster.liveCount
    return {
      ...{ kind: 'announce', imageId, imageName, imageBytes: this.#end?.imageBytes ?? imageBytes, codec },
      ...{ sliceBytes: geometry.sliceBytes, packetBytes: geometry.packetBytes },
      phase: this.#phase === 'gathering' || this.#phase === 'sending' ? this.#phase : 'mending',
      begunCount: this.#begunCount,
      feedback: {
        ...{ grttUs: this.#roster.grttUs, groupCount, reportIntervalMs: reportIntervalMs(groupCount) },
        receiverTimeoutMs: Math.round(receiverTimeoutUs / 1000),
      },
      sentAtUs: nowUs >>> 0,
      rateBitsPerSec: this.#pacer.bitsPerSec,
    }
  }

  #pollData(nowUs: Micros, into: Uint8Array): Transmit | undefined {
    const { packetBytes } = this.#options.geometry
    const runLimit = Math.min(MAX_RUN_PACKETS, Math.floor(MAX_RUN_BYTES / packetBytes))
    const wanted = Math.min(runLimit, this.#pacer.batchPackets)
    this.#tokensReadyUs = undefined
    const readyUs = this.#pacer.readyAtUs(nowUs, wanted)
    if (readyUs > nowUs) {
      if (this.#hasData(nowUs)) this.#tokensReadyUs = readyUs
      return undefined
    }
    let count = 0
    while (count < wanted && this.#nextSymbolInto(nowUs, into, count * packetBytes)) count++
    if (count === 0) return undefined
    this.#countSent(nowUs, count, count * packetBytes)
    return { bytes: count * packetBytes, segmentBytes: packetBytes }
  }

  #hasData(nowUs: Micros): boolean {
    return this.#planner.dueSlice(nowUs) !== undefined || this.#window.has(this.#passSlice)
  }

  #countSent(nowUs: Micros, packets: number, bytes: number): void {
    const wireBytes = bytes + packets * this.#options.overheadBytes
    this.#pacer.spend(nowUs, wireBytes)
    this.#counters.packets += packets
    this.#counters.wireBytes += wireBytes
  }

  /** Writes the data packet that comes next: a due repair, else the first pass. False when there is none. */
  #nextSymbolInto(nowUs: Micros, into: Uint8Array, at: number): boolean {
    const due = this.#planner.dueSlice(nowUs)
    if (due !== undefined) {
      const frame = this.#window.frame(due)!
      const sourceCount = this.#window.sourceSymbolCount(due)!
      const symbol = this.#planner.takeSymbol(nowUs, due, sourceCount)
      if (symbol < sourceCount) this.#counters.resentSymbols++
      else this.#counters.paritySymbols++
      this.#writer.writeInto(into, at, due, frame, sourceCount, symbol)
      return true
    }
    const slice = this.#passSlice
    const frame = this.#window.frame(slice)
    if (frame === undefined) return false
    const sourceCount = this.#window.sourceSymbolCount(slice)!
    const symbol = this.#table.advance(slice)
    this.#begunCount = slice + 1
    if (symbol < sourceCount) this.#counters.sourceSymbols++
    else this.#counters.proactiveSymbols++
    this.#writer.writeInto(into, at, slice, frame, sourceCount, symbol)
    if (++this.#passSymbol >= sourceCount + this.#proactiveCount(sourceCount)) {
      this.#passSlice++
      this.#passSymbol = 0
    }
    return true
  }

  #proactiveCount(sourceCount: number): number {
    const { fec } = this.#options
    if (fec === 'off') return 0
    if (fec === 'auto' && this.#roster.liveCount < PROACTIVE_FROM_COUNT) return 0
    const share = fec === 'auto' ? this.#lossRatio : fec / 100
    return Math.min(MAX_SYMBOL_COUNT - sourceCount, Math.ceil(sourceCount * share))
  }

  #maybeClose(nowUs: Micros): void {
    if (this.#roster.liveCount > 0) return
    const hasNobody = this.#roster.knownCount === 0
    if (hasNobody && (this.#phase !== 'mending' || nowUs < this.#mendingUs + 2 * ANNOUNCE_INTERVAL_US)) return
    const missed = this.#roster.views().filter((view) => view.state !== 'done')
    if (hasNobody) {
      this.#failed = { code: 'NO_RECEIVERS', text: 'no receiver took part' }
    } else if (missed.length > 0) {
      const names = missed.slice(0, 8).map((view) => `${view.name} (${view.reason || view.state})`)
      const more = missed.length > 8 ? ` and ${missed.length - 8} more` : ''
      const text = `${missed.length} of ${this.#roster.knownCount} receivers: ${names.join(', ')}${more}`
      this.#failed = { code: 'RECEIVERS_FAILED', text }
    }
    const last: ControlMessage =
      this.#phase === 'mending' && this.#end !== undefined
        ? { ...this.#end, isClosing: true }
        : { kind: 'abort', reason: 'sender-failed', text: 'no receiver is left' }
    this.#close(nowUs, last)
  }

  #finish(): void {
    this.#phase = 'over'
    this.#events.push(this.#failed === undefined ? { kind: 'finished' } : { kind: 'finished', failed: this.#failed })
  }
}
