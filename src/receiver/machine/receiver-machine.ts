import {
  controlPacketBytesAt,
  clipText,
  encodeControl,
  encodeRefusal,
  encodeSealed,
  imageTag,
  imageTagAt,
  isSameId,
  JOIN_DRAW_COUNT,
  PacketType,
  packetTypeAt,
  sealedPacketBytesAt,
  sessionAt,
  type ControlMessage,
  type Id64,
  type Machine,
  type Micros,
  type PacketFault,
  type PeerAddress,
  type Transmit,
} from '../../protocol/index.ts'
import { ControlInbox, type UnfitMessage } from './control-inbox.ts'
import { Membership } from './membership.ts'
import type { ReceiverCommand, ReceiverEvent, ReceiverMachineOptions, ReceiverStats } from './receiver-options.ts'
import { ReceiverSession } from './receiver-session.ts'
import type { Candidate } from './session-challenge.ts'
import { abortFailure, closingFailure, judgeAnnounce, type Failure } from './session-choice.ts'
import { SessionSearch } from './session-search.ts'

/** Times a slice may fail its digest before the transfer fails. Ours: UDP's checksum lets an error pass far too seldom for that. */
const MAX_REJECTIONS = 8

/** Waiting for a session; for the sink; taking slices; for the driver's last check; for the sender's answer to Done. */
type State = 'seeking' | 'opening' | 'active' | 'verifying' | 'done' | 'over'

/** The receiving half of the protocol: see {@link Machine} for how to drive it. */
export class ReceiverMachine implements Machine<ReceiverCommand, ReceiverEvent, ReceiverStats> {
  readonly #options: ReceiverMachineOptions
  readonly #name: string
  readonly #membership: Membership
  readonly #events: ReceiverEvent[] = []
  readonly #rejections = new Map<number, number>()
  #state: State = 'seeking'
  readonly #inbox: ControlInbox
  readonly #search: SessionSearch
  #session: ReceiverSession | undefined
  #hasRefused = false
  /** Counter of the sealed packet sent last. */
  #counter = 0
  /** A packet that goes out before all others, whatever the state: a refusal or a Leave. */
  #urgent: { readonly packet: Uint8Array; readonly to: PeerAddress } | undefined
  #foreignPackets = 0
  #malformedPackets = 0
  #forgedPackets = 0
  #nacksSent = 0

  /**
   * @param nowUs when waiting for a session begins
   * @throws RangeError when an option is out of its bounds
   */
  constructor(nowUs: Micros, options: ReceiverMachineOptions) {
    const { bufferSlices, receiverId, random } = options
    if (!Number.isInteger(bufferSlices) || bufferSlices < 1 || bufferSlices > 65_536) {
      throw new RangeError(`bufferSlices must be a whole number from 1 to 65536, got ${bufferSlices}`)
    }
    if (receiverId.high === 0 && receiverId.low === 0) throw new RangeError('receiverId must not be 0')
    this.#options = options
    this.#name = clipText(options.name)
    const draw = Math.floor(random() * JOIN_DRAW_COUNT)
    this.#membership = new Membership(receiverId, this.#name, random, draw)
    this.#inbox = new ControlInbox(options.trust)
    this.#search = new SessionSearch(nowUs, options, draw)
  }

  handleDatagram(nowUs: Micros, from: PeerAddress, bytes: Uint8Array): void {
    if (this.#state === 'over') return
    for (let at = 0; at < bytes.length;) at += this.#handlePacket(nowUs, from, bytes, at)
    this.#advance(nowUs)
  }

  handleTimeout(nowUs: Micros): void {
    this.#advance(nowUs)
  }

  /** @throws RangeError when the command does not fit what the machine has asked for */
  handleCommand(nowUs: Micros, command: ReceiverCommand): void {
    if (this.#state === 'over') return
    switch (command.kind) {
      case 'opened':
        if (this.#state !== 'opening') throw new RangeError('opened: no session waits for its sink')
        this.#state = 'active'
        if (command.settled !== undefined) this.#requireSession(command.kind).assembly.restore(command.settled)
        this.#startJoin(nowUs)
        break
      case 'settled':
        this.#requireSession(command.kind).assembly.settle(command.slice)
        this.#rejections.delete(command.slice)
        break
      case 'rejected':
        this.#reject(nowUs, this.#requireSession(command.kind), command.slice)
        break
      case 'finished':
        if (this.#state !== 'verifying') throw new RangeError('finished: the image is not complete')
        this.#state = 'done'
        this.#membership.startDone(nowUs, this.#requireSession(command.kind).announce.feedback)
        break
      case 'leave':
        this.#leave(command.reason)
        break
      default:
        command satisfies never
    }
    this.#advance(nowUs)
  }

  pollTransmit(nowUs: Micros, into: Uint8Array): Transmit | undefined {
    const urgent = this.#urgent
    if (urgent !== undefined) {
      this.#urgent = undefined
      return transmit(into, urgent.packet, urgent.to)
    }
    if (this.#state === 'over') return undefined
    const asked = this.#search.poll(nowUs)
    if (asked !== undefined) {
      const { id, from, announce, nonce } = asked
      return transmit(into, this.#encode({ kind: 'challenge', nonce }, id, imageTag(announce.imageId)), from)
    }
    const session = this.#session
    if (session === undefined) return undefined
    const message = this.#membership.poll(nowUs, session) ?? this.#pollNack(nowUs, session)
    if (message === undefined) return undefined
    return transmit(into, this.#encode(message, session.id, session.tag), session.sender)
  }

  pollEvent(): ReceiverEvent | undefined {
    return this.#events.shift()
  }

  pollTimeout(): Micros | undefined {
    if (this.#state === 'over') return undefined
    const session = this.#session
    let { nextUs } = this.#search
    if (this.#state === 'seeking') {
      nextUs = Math.min(nextUs, this.#search.deadlineUs)
    } else if (session !== undefined) {
      nextUs = Math.min(nextUs, this.#membership.nextUs)
      if (!session.isSenderGone) nextUs = Math.min(nextUs, session.heardUs + this.#options.receiveTimeoutUs)
      if (this.#state === 'active') nextUs = Math.min(nextUs, session.nacks.nextUs)
    }
    return nextUs === Infinity ? undefined : nextUs
  }

  stats(): ReceiverStats {
    const session = this.#session
    const assembly = session?.assembly
    return {
      packets: session?.packets ?? 0,
      bytes: session?.bytes ?? 0,
      duplicatePackets: assembly?.duplicatePackets ?? 0,
      lostPackets: assembly?.lostPackets ?? 0,
      parityUsed: assembly?.parityUsed ?? 0,
      slicesBegun: assembly?.begunCount ?? 0,
      slicesSettled: assembly?.settled.count ?? 0,
      slicesTotal: session?.end?.sliceCount,
      slicesExpected: session?.announce.expectedSliceCount,
      nacksSent: this.#nacksSent,
      nacksSuppressed: session?.nacks.suppressedCount ?? 0,
      foreignPackets: this.#foreignPackets,
      malformedPackets: this.#malformedPackets + (session?.malformedPackets ?? 0) + (assembly?.malformedPackets ?? 0),
      forgedPackets: this.#forgedPackets + (session?.forgedPackets ?? 0),
      rejectedSlices: session?.rejectedSlices ?? 0,
      droppedForBuffers: assembly?.droppedForBuffers ?? 0,
      queuePercent: assembly?.queuePercent ?? 0,
    }
  }

  /**
   * How much it keeps of everything that must not grow without bound, by name.
   * @internal for tests of docs/architecture.md, "Memory"
   */
  holdings(): Readonly<Record<'buffers' | 'quietRanges' | 'rejections', number>> {
    return {
      buffers: this.#session?.assembly.madeCount ?? 0,
      quietRanges: this.#session?.nacks.quietRangeCount ?? 0,
      rejections: this.#rejections.size,
    }
  }

  /**
   * Takes the packet at `at` of what may be several, joined on receipt. Joined packets are of one size, the last perhaps shorter: once
   * there is a session, that of its data packets. So a stranger's packet among them, whatever it says, takes none of the others with it.
   * @returns its length, or that of all that is left
   */
  #handlePacket(nowUs: Micros, from: PeerAddress, bytes: Uint8Array, at: number): number {
    const restBytes = bytes.length - at
    const session = this.#session
    const type = packetTypeAt(bytes, at, restBytes)
    if (type === PacketType.control || type === PacketType.sealed) {
      const isBelieved = this.#handleControl(nowUs, from, bytes, at, restBytes, type)
      if (session !== undefined && !isBelieved) return Math.min(session.geometry.packetBytes, restBytes)
      return type === PacketType.control ? controlPacketBytesAt(bytes, at) : sealedPacketBytesAt(bytes, at)
    }
    if (type !== PacketType.data) {
      this.#handleOther(nowUs, from, bytes, at, type)
      return Math.min(session?.geometry.packetBytes ?? restBytes, restBytes)
    }
    if (session === undefined) {
      this.#foreignPackets++
      return restBytes
    }
    // Data packets of a session are of one size; those of another one are none of ours, whatever their size.
    const pieceBytes = Math.min(session.geometry.packetBytes, restBytes)
    if (session.owns(bytes, at)) session.handleData(nowUs, bytes, at, pieceBytes)
    else this.#foreignPackets++
    return pieceBytes
  }

  #handleOther(
    nowUs: Micros,
    from: PeerAddress,
    bytes: Uint8Array,
    at: number,
    type: PacketFault | typeof PacketType.refusal,
  ): void {
    if (type === 'too-short' || type === 'unknown-type') this.#malformedPackets++
    else this.#foreignPackets++
    if (type !== 'other-version' || this.#session !== undefined || this.#hasRefused) return
    this.#hasRefused = true
    this.#search.noteUnfit(nowUs, {
      code: 'VERSION_REFUSED',
      text: 'the sender speaks another version of the protocol',
    })
    this.#urgent = { packet: encodeRefusal(sessionAt(bytes, at)), to: from }
  }

  /** @returns true for a message that may be believed, of our session or of one that might become it */
  #handleControl(
    nowUs: Micros,
    from: PeerAddress,
    bytes: Uint8Array,
    at: number,
    length: number,
    type: typeof PacketType.control | typeof PacketType.sealed,
  ): boolean {
    const session = this.#session
    const isOurs = session?.owns(bytes, at) === true
    // Whose packet it is costs less to see than whether it is authentic.
    if (type === PacketType.sealed && !isOurs && session !== undefined && !session.isSilent(nowUs)) {
      this.#foreignPackets++
      return false
    }
    const heard = this.#inbox.open(bytes, at, length, type)
    if (typeof heard === 'string') {
      this.#malformedPackets++
      return false
    }
    if (heard.kind === 'unfit') {
      this.#handleUnfit(nowUs, heard, isOurs)
      return false
    }
    if (session !== undefined && isOurs) {
      if (!session.isBelieved(heard)) {
        this.#forgedPackets++
        return false
      }
      session.heardUs = nowUs
      this.#handleMessage(nowUs, from, heard.message, session)
    } else if (heard.message.kind === 'proof') {
      const proven = this.#search.takeProof(sessionAt(bytes, at), heard.message)
      if (proven) this.#consider(nowUs, { ...proven, heard })
    } else if (heard.message.kind !== 'announce' || imageTag(heard.message.imageId) !== imageTagAt(bytes, at)) {
      this.#foreignPackets++
    } else {
      this.#consider(nowUs, { id: sessionAt(bytes, at), from, announce: heard.message, heard })
    }
    return true
  }

  /** A message that may not be believed. While a session is sought, a beacon that does not fit is worth a word. */
  #handleUnfit(nowUs: Micros, { failure, message }: UnfitMessage, isOurs: boolean): void {
    if (isOurs) this.#forgedPackets++
    else this.#foreignPackets++
    if (this.#state !== 'seeking' || typeof message === 'string' || message.kind !== 'announce') return
    const text = this.#search.noteUnfit(nowUs, failure)
    if (text !== undefined) this.#events.push({ kind: 'unfit', text })
  }

  /** A session other than ours is announced, and has been heard just now. */
  #consider(nowUs: Micros, candidate: Candidate): void {
    const session = this.#session
    const { id, from: sender, announce, heard } = candidate
    const isFree = session === undefined || session.mayFollow(nowUs, candidate)
    const verdict = isFree ? this.#search.consider(nowUs, candidate) : 'foreign'
    if (verdict === 'foreign') this.#foreignPackets++
    if (verdict !== 'fit') return
    const trust = this.#inbox.trustOf(id)
    if (session !== undefined) {
      session.adopt(nowUs, candidate, trust)
      this.#events.push({ kind: 'adopted', session: id })
      if (this.#state === 'active' || this.#state === 'verifying') this.#startJoin(nowUs)
      return
    }
    const geometry = judgeAnnounce(announce, heard.mode, this.#options.codecs)
    if ('code' in geometry) {
      this.#fail(geometry)
      return
    }
    this.#session = new ReceiverSession(nowUs, candidate, geometry, this.#options, trust)
    this.#state = 'opening'
    this.#events.push({ kind: 'session', announce, geometry, mode: heard.mode, session: id, sender })
  }

  #handleMessage(nowUs: Micros, from: PeerAddress, message: ControlMessage, session: ReceiverSession): void {
    switch (message.kind) {
      case 'announce':
        session.handleAnnounce(nowUs, from, message)
        this.#membership.handleAnnounce(nowUs, message.feedback)
        break
      case 'join-ack':
        if (this.#isNamed(message.receivers)) this.#membership.stopJoin()
        break
      case 'repair-echo':
        session.nacks.handleEcho(nowUs, message)
        break
      case 'end':
        session.handleEnd(nowUs, message)
        if (message.isClosing) this.#handleLastWord(session, closingFailure(session.assembly.settled.count, message))
        break
      case 'done-ack':
        if (this.#state === 'done' && this.#isNamed(message.receivers)) this.#acknowledge()
        break
      case 'abort':
        if (message.receiver !== undefined && !isSameId(message.receiver, this.#options.receiverId)) break
        this.#handleLastWord(session, abortFailure(message.reason, message.text))
        break
      case 'proof':
        break
      case 'challenge':
      case 'join':
      case 'report':
      case 'nack':
      case 'done':
      case 'leave':
        // Meant for the sender: another receiver has sent it to the group.
        this.#foreignPackets++
        break
      default:
        message satisfies never
    }
  }

  /** The sender says nothing more. That is a failure unless all that we need from it is here. */
  #handleLastWord(session: ReceiverSession, failure: Failure): void {
    if (this.#state === 'over') return
    if (this.#state === 'done') this.#acknowledge()
    else if (this.#state === 'verifying' || session.hasAll) {
      session.isSenderGone = true
      this.#membership.stop()
    } else this.#end(failure)
  }

  #reject(nowUs: Micros, session: ReceiverSession, slice: number): void {
    const isAtFault = session.assembly.reject(slice)
    session.nacks.handleReject(nowUs, slice)
    const times = (this.#rejections.get(slice) ?? 0) + 1
    if (isAtFault) {
      session.rejectedSlices++
      this.#rejections.set(slice, times)
    }
    if (isAtFault && times >= MAX_REJECTIONS) {
      this.#fail({ code: 'DIGEST_MISMATCH', text: `slice ${slice} has failed its digest ${times} times` })
    } else if (session.isSenderGone) {
      this.#fail({ code: 'SENDER_LOST', text: `slice ${slice} has to come again, and the sender is gone` })
    }
  }

  /** What follows from any input, and from the time: frames handed out, completion, timeouts. */
  #advance(nowUs: Micros): void {
    const session = this.#session
    if (this.#state === 'seeking') {
      const failure = this.#search.failure(nowUs)
      if (failure !== undefined) this.#fail(failure)
    }
    if (session === undefined || this.#state === 'over') return
    if (session.assembly.takeChange()) session.nacks.arm(nowUs + session.nacks.reorderUs)
    if (this.#state === 'active') {
      let whole = session.assembly.takeWhole()
      for (; whole !== undefined; whole = session.assembly.takeWhole()) this.#events.push({ kind: 'slice', ...whole })
      if (session.isOverfull) {
        const text = 'slices are settled here that the image does not have: under its image id another was sent before'
        this.#fail({ code: 'JOURNAL_REFUSED', text })
      } else if (session.isSettled) {
        this.#state = 'verifying'
        this.#events.push({ kind: 'complete', end: session.end! })
      }
    }
    if (this.#state === 'done' && (session.isSenderGone || this.#membership.hasGivenUp(nowUs))) this.#acknowledge()
    else if (!session.isSenderGone && nowUs >= session.heardUs + this.#options.receiveTimeoutUs) {
      const text = `nothing was heard from the sender for ${this.#options.receiveTimeoutUs / 1e6} s`
      this.#handleLastWord(session, { code: 'SENDER_LOST', text })
    }
  }

  /** The whole packet, sealed when there is a group key. */
  #encode(message: ControlMessage, session: Id64, imageTag: number): Uint8Array {
    const { tag } = this.#inbox.trustOf(session)
    if (tag === undefined) return encodeControl(message, session, imageTag)
    const mode = { isKeyed: true, isSigned: false }
    return encodeSealed(message, session, imageTag, ++this.#counter, mode, { tag })
  }

  #pollNack(nowUs: Micros, session: ReceiverSession): ControlMessage | undefined {
    const content = this.#state === 'active' ? session.nacks.poll(nowUs) : undefined
    if (content === undefined) return undefined
    this.#nacksSent++
    return { kind: 'nack', receiver: this.#options.receiverId, ...content }
  }

  #startJoin(nowUs: Micros): void {
    const { isSenderGone, announce } = this.#requireSession('join')
    if (!isSenderGone) this.#membership.startJoin(nowUs, announce.feedback, this.#options.trust !== undefined)
  }

  #isNamed(receivers: readonly Id64[]): boolean {
    return receivers.some((receiver) => isSameId(receiver, this.#options.receiverId))
  }

  #requireSession(command: string): ReceiverSession {
    if (this.#session === undefined) throw new RangeError(`${command}: there is no session`)
    return this.#session
  }

  /** Over, and the sender hears why, unless it is gone. */
  #leave(reason: string): void {
    const session = this.#session
    if (session?.isSenderGone === false) {
      const { receiverId: receiver } = this.#options
      const leave: ControlMessage = { kind: 'leave', receiver, name: this.#name, reason: clipText(reason) }
      this.#urgent = { packet: this.#encode(leave, session.id, session.tag), to: session.sender }
    }
    this.#state = 'over'
  }

  #acknowledge(): void {
    this.#state = 'over'
    this.#events.push({ kind: 'acknowledged' })
  }

  /** Gives up. */
  #fail(failure: Failure): void {
    this.#leave(failure.text)
    this.#end(failure)
  }

  #end(failure: Failure): void {
    this.#state = 'over'
    this.#events.push({ kind: 'failed', ...failure })
  }
}

function transmit(into: Uint8Array, packet: Uint8Array, to: PeerAddress): Transmit {
  into.set(packet)
  return { bytes: packet.length, segmentBytes: packet.length, to }
}
