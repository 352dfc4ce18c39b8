import {
  controlPacketBytesAt,
  ANNOUNCE_INTERVAL_US,
  clipText,
  decodeControl,
  encodeControl,
  encodeRefusal,
  imageTag,
  imageTagAt,
  isSameId,
  PacketType,
  packetTypeAt,
  sessionAt,
  type Announce,
  type ControlMessage,
  type Id64,
  type Machine,
  type Micros,
  type PacketFault,
  type PeerAddress,
  type Transmit,
} from '../../protocol/index.ts'
import { Membership } from './membership.ts'
import type { ReceiverCommand, ReceiverEvent, ReceiverMachineOptions, ReceiverStats } from './receiver-options.ts'
import { ReceiverSession } from './receiver-session.ts'
import { abortFailure, isSameImage, judgeAnnounce, type Failure } from './session-choice.ts'

/** Silence after which another session of the same image may take this one's place, microseconds. Ours. */
const RESTART_SILENCE_US = 2_000_000

/** Times a slice may fail its digest before the transfer fails. Ours: UDP's checksum lets an error pass far too seldom for that. */
const MAX_REJECTIONS = 8

/** Waiting for a session; for the sink; taking slices; for the driver's last check; for the sender's answer to Done. */
type State = 'seeking' | 'opening' | 'active' | 'verifying' | 'done' | 'over'

/** The receiving half of the protocol: see {@link Machine} for how to drive it. */
export class ReceiverMachine implements Machine<ReceiverCommand, ReceiverEvent, ReceiverStats> {
  readonly #options: ReceiverMachineOptions
  readonly #name: string
  readonly #startDeadlineUs: Micros
  readonly #membership: Membership
  readonly #events: ReceiverEvent[] = []
  readonly #rejections = new Map<number, number>()
  #state: State = 'seeking'
  #session: ReceiverSession | undefined
  /** Set once a packet of another version was heard. */
  #versionDeadlineUs: Micros = Infinity
  /** A packet that goes out before all others, whatever the state: a refusal or a Leave. */
  #urgent: { readonly packet: Uint8Array; readonly to: PeerAddress } | undefined
  #hasHeardOtherImage = false
  #foreignPackets = 0
  #malformedPackets = 0
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
    this.#startDeadlineUs = nowUs + (options.startTimeoutUs ?? Infinity)
    this.#membership = new Membership(receiverId, this.#name, random)
  }

  handleDatagram(nowUs: Micros, from: PeerAddress, bytes: Uint8Array): void {
    if (this.#state === 'over') return
    for (let at = 0; at < bytes.length;) at += this.#handlePacket(nowUs, from, bytes, at)
    this.#advance(nowUs)
  }

  handleTimeout(nowUs: Micros): void {
    this.#advance(nowUs)
  }

  /** @throws RangeError when the command does not fit what the machine has asked for, or has a value out of bounds */
  handleCommand(nowUs: Micros, command: ReceiverCommand): void {
    if (this.#state === 'over') return
    switch (command.kind) {
      case 'opened':
        if (this.#state !== 'opening') throw new RangeError('opened: no session waits for its sink')
        this.#state = 'active'
        this.#startJoin(nowUs)
        break
      case 'settled':
        this.#requireSession(command.kind).assembly.settle(command.slice)
        this.#rejections.delete(command.slice)
        break
      case 'rejected':
        this.#reject(nowUs, this.#requireSession(command.kind), command.slice)
        break
      case 'queue':
        if (!Number.isInteger(command.percent) || command.percent < 0 || command.percent > 100) {
          throw new RangeError(`queue: percent must be a whole number from 0 to 100, got ${command.percent}`)
        }
        this.#membership.queuePercent = command.percent
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
    const session = this.#session
    if (session === undefined || this.#state === 'over') return undefined
    const message = this.#membership.poll(nowUs, session) ?? this.#pollNack(nowUs, session)
    if (message === undefined) return undefined
    return transmit(into, encodeControl(message, session.id, session.tag), session.sender)
  }

  pollEvent(): ReceiverEvent | undefined {
    return this.#events.shift()
  }

  pollTimeout(): Micros | undefined {
    const session = this.#session
    let nextUs = Infinity
    if (this.#state === 'seeking') {
      nextUs = Math.min(this.#startDeadlineUs, this.#versionDeadlineUs)
    } else if (session !== undefined && this.#state !== 'over') {
      nextUs = this.#membership.nextUs
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
      nacksSent: this.#nacksSent,
      nacksSuppressed: session?.nacks.suppressedCount ?? 0,
      foreignPackets: this.#foreignPackets,
      malformedPackets: this.#malformedPackets + (session?.malformedPackets ?? 0) + (assembly?.malformedPackets ?? 0),
      rejectedSlices: session?.rejectedSlices ?? 0,
      droppedForBuffers: assembly?.droppedForBuffers ?? 0,
      queuePercent: assembly?.queuePercent ?? 0,
    }
  }

  /** Takes the packet at `at` of what may be several, joined on receipt. @returns its length, or that of all that is left */
  #handlePacket(nowUs: Micros, from: PeerAddress, bytes: Uint8Array, at: number): number {
    const restBytes = bytes.length - at
    const session = this.#session
    const type = packetTypeAt(bytes, at, restBytes)
    if (type === PacketType.control) {
      this.#handleControl(nowUs, from, bytes, at, restBytes)
      return controlPacketBytesAt(bytes, at)
    }
    if (type !== PacketType.data) {
      this.#handleOther(nowUs, from, bytes, at, type)
      return restBytes
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
    if (type !== 'other-version' || this.#session !== undefined || this.#versionDeadlineUs !== Infinity) return
    this.#versionDeadlineUs = nowUs + 2 * ANNOUNCE_INTERVAL_US
    this.#urgent = { packet: encodeRefusal(sessionAt(bytes, at)), to: from }
  }

  #handleControl(nowUs: Micros, from: PeerAddress, bytes: Uint8Array, at: number, length: number): void {
    const message = decodeControl(bytes, at, length)
    const session = this.#session
    if (typeof message === 'string') {
      this.#malformedPackets++
    } else if (session?.owns(bytes, at)) {
      session.heardUs = nowUs
      this.#handleMessage(nowUs, from, message, session)
    } else if (message.kind !== 'announce' || imageTag(message.imageId) !== imageTagAt(bytes, at)) {
      this.#foreignPackets++
    } else {
      this.#consider(nowUs, from, message, sessionAt(bytes, at))
    }
  }

  /** A session other than ours is announced. */
  #consider(nowUs: Micros, from: PeerAddress, announce: Announce, id: Id64): void {
    const session = this.#session
    if (session !== undefined) {
      if (nowUs - session.heardUs <= RESTART_SILENCE_US || !isSameImage(session.announce, announce)) {
        this.#foreignPackets++
        return
      }
      session.adopt(nowUs, id, from, announce)
      if (this.#state === 'active' || this.#state === 'verifying') this.#startJoin(nowUs)
      return
    }
    const { imageId, codecs } = this.#options
    if (imageId !== undefined && imageId !== announce.imageId) {
      this.#foreignPackets++
      this.#hasHeardOtherImage = true
      return
    }
    const geometry = judgeAnnounce(announce, codecs)
    if ('code' in geometry) {
      this.#fail(geometry)
      return
    }
    this.#session = new ReceiverSession(nowUs, id, from, announce, geometry, this.#options)
    this.#state = 'opening'
    this.#events.push({ kind: 'session', announce, geometry, session: id, sender: from })
  }

  #handleMessage(nowUs: Micros, from: PeerAddress, message: ControlMessage, session: ReceiverSession): void {
    switch (message.kind) {
      case 'announce':
        session.handleAnnounce(nowUs, from, message)
        break
      case 'join-ack':
        if (this.#isNamed(message.receivers)) this.#membership.stopJoin()
        break
      case 'repair-echo':
        session.nacks.handleEcho(nowUs, message)
        break
      case 'end':
        session.handleEnd(nowUs, message)
        if (message.isClosing) this.#handleLastWord(session, closingFailure(session))
        break
      case 'done-ack':
        if (this.#state === 'done' && this.#isNamed(message.receivers)) this.#acknowledge()
        break
      case 'abort':
        if (message.receiver !== undefined && !isSameId(message.receiver, this.#options.receiverId)) break
        this.#handleLastWord(session, abortFailure(message.reason, message.text))
        break
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
    } else this.#fail(failure)
  }

  #reject(nowUs: Micros, session: ReceiverSession, slice: number): void {
    session.assembly.reject(slice)
    session.nacks.handleReject(nowUs, slice)
    session.rejectedSlices++
    const times = (this.#rejections.get(slice) ?? 0) + 1
    this.#rejections.set(slice, times)
    if (times >= MAX_REJECTIONS) {
      this.#fail({ code: 'DIGEST_MISMATCH', text: `slice ${slice} has failed its digest ${times} times` })
    } else if (session.isSenderGone) {
      this.#fail({ code: 'SENDER_LOST', text: `slice ${slice} has failed its digest, and the sender is gone` })
    }
  }

  /** What follows from any input, and from the time: frames handed out, completion, timeouts. */
  #advance(nowUs: Micros): void {
    const session = this.#session
    if (this.#state === 'seeking') this.#checkStart(nowUs)
    if (session === undefined || this.#state === 'over') return
    if (session.assembly.takeChange()) session.nacks.arm(nowUs + session.nacks.reorderUs)
    if (this.#state === 'active') {
      let whole = session.assembly.takeWhole()
      for (; whole !== undefined; whole = session.assembly.takeWhole()) this.#events.push({ kind: 'slice', ...whole })
      if (session.isSettled) {
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

  #checkStart(nowUs: Micros): void {
    if (nowUs >= this.#versionDeadlineUs) {
      this.#fail({ code: 'VERSION_REFUSED', text: 'the sender speaks another version of the protocol' })
    } else if (nowUs >= this.#startDeadlineUs) {
      const { imageId, startTimeoutUs = 0 } = this.#options
      const found = this.#hasHeardOtherImage
        ? `only other images than ${imageId!} were announced`
        : 'no sender was heard'
      this.#fail({ code: 'NO_SENDER', text: `${found} within ${startTimeoutUs / 1e6} s` })
    }
  }

  #pollNack(nowUs: Micros, session: ReceiverSession): ControlMessage | undefined {
    const content = this.#state === 'active' ? session.nacks.poll(nowUs) : undefined
    if (content === undefined) return undefined
    this.#nacksSent++
    return { kind: 'nack', receiver: this.#options.receiverId, ...content }
  }

  #startJoin(nowUs: Micros): void {
    const { isSenderGone, announce } = this.#requireSession('join')
    if (!isSenderGone) this.#membership.startJoin(nowUs, announce.feedback)
  }

  #isNamed(receivers: readonly Id64[]): boolean {
    return receivers.some((receiver) => isSameId(receiver, this.#options.receiverId))
  }

  #requireSession(command: string): ReceiverSession {
    if (this.#session === undefined) throw new RangeError(`${command}: there is no session`)
    return this.#session
  }

  #leave(reason: string): void {
    const session = this.#session
    if (session !== undefined) {
      const { receiverId: receiver } = this.#options
      const leave: ControlMessage = { kind: 'leave', receiver, name: this.#name, reason: clipText(reason) }
      this.#urgent = { packet: encodeControl(leave, session.id, session.tag), to: session.sender }
    }
    this.#state = 'over'
  }

  #acknowledge(): void {
    this.#state = 'over'
    this.#events.push({ kind: 'acknowledged' })
  }

  #fail(failure: Failure): void {
    this.#state = 'over'
    this.#events.push({ kind: 'failed', ...failure })
  }
}

function closingFailure({ assembly, end }: ReceiverSession): Failure {
  const sliceCount = end!.sliceCount
  const missing = sliceCount - assembly.settled.count
  return {
    code: 'SENDER_LOST',
    text: `the sender ended the session, ${missing} of ${sliceCount} slices are missing here`,
  }
}

function transmit(into: Uint8Array, packet: Uint8Array, to: PeerAddress): Transmit {
  into.set(packet)
  return { bytes: packet.length, segmentBytes: packet.length, to }
}
