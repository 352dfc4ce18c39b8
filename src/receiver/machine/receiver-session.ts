import {
  areDataFieldsValid,
  DATA_HEADER_BYTES,
  frameBytesAt,
  hasSession,
  imageTag,
  imageTagAt,
  MAX_SLICE_COUNT,
  maxSealedFrameBytes,
  sliceIndexAt,
  symbolIndexAt,
  type Announce,
  type End,
  type Geometry,
  type Id64,
  type Micros,
  type PacketGuard,
  type PeerAddress,
  type ReceiverSessionTrust,
  type TrustMode,
} from '../../protocol/index.ts'
import type { HeardMessage } from './control-inbox.ts'
import { NackScheduler } from './nack-scheduler.ts'
import type { ReceiverMachineOptions } from './receiver-options.ts'
import type { Candidate } from './session-challenge.ts'
import { isSameImage } from './session-choice.ts'
import { SliceAssembly } from './slice-assembly.ts'

/** Silence of the sender after which it may have died, microseconds. Ours. */
const SILENCE_US = 2_000_000

/** The session that a receiver takes part in: what is known of it, and its slices. */
export class ReceiverSession {
  readonly geometry: Geometry
  readonly assembly: SliceAssembly
  readonly nacks: NackScheduler
  /** Data packets, and their bytes without IP and UDP headers. */
  packets = 0
  bytes = 0
  malformedPackets = 0
  forgedPackets = 0
  /** Slices that failed their digest. */
  rejectedSlices = 0
  /** When a packet of the session last came. */
  heardUs: Micros
  /** Nothing more will come from the sender, and nothing more is needed from it. */
  isSenderGone = false
  readonly #tag: number
  readonly #maxFrameBytes: number
  readonly #mode: TrustMode
  #guard: PacketGuard | undefined
  /** That of the last message that proved its origin. */
  #counter = 0
  #id: Id64
  #announce: Announce
  #announcedUs: Micros
  #sender: PeerAddress
  #end: End | undefined
  /** No slice has this index or a higher one. */
  #sliceLimit = MAX_SLICE_COUNT

  constructor(
    nowUs: Micros,
    { id, from, announce, heard }: Candidate,
    geometry: Geometry,
    options: ReceiverMachineOptions,
    trust: ReceiverSessionTrust,
  ) {
    this.geometry = geometry
    this.assembly = new SliceAssembly(geometry, options)
    this.nacks = new NackScheduler(this.assembly, options.random)
    this.heardUs = this.#announcedUs = nowUs
    this.#maxFrameBytes = maxSealedFrameBytes(geometry.sliceBytes)
    this.#tag = imageTag(announce.imageId)
    this.#id = id
    this.#sender = from
    this.#announce = announce
    this.#mode = heard.mode
    this.#guard = trust.makeGuard?.()
    this.isBelieved(heard)
    this.handleAnnounce(nowUs, from, announce)
  }

  get id(): Id64 {
    return this.#id
  }

  get tag(): number {
    return this.#tag
  }

  /** The latest, and when it came. */
  get announce(): Announce {
    return this.#announce
  }

  get announcedUs(): Micros {
    return this.#announcedUs
  }

  /** Where its packets come from, and feedback goes to. */
  get sender(): PeerAddress {
    return this.#sender
  }

  get end(): End | undefined {
    return this.#end
  }

  /** True when nothing more is needed from the network. */
  get hasAll(): boolean {
    return this.#end !== undefined && this.assembly.hasAll(this.#end.sliceCount)
  }

  get isSettled(): boolean {
    return this.#end !== undefined && this.assembly.settled.low >= this.#end.sliceCount
  }

  /** True when slices are settled that the image does not have: under the same image id, another was sent before. */
  get isOverfull(): boolean {
    return this.#end !== undefined && this.assembly.settled.end > this.#end.sliceCount
  }

  /**
   * True when another session may take this one's place: nothing has come of this one for long, and that one sends the same image.
   * Frames of another mode could not be opened; and what was to be signed must not end up as what anybody might have sent.
   */
  mayFollow(nowUs: Micros, { heard, announce }: Candidate): boolean {
    return this.#hasMode(heard.mode) && isSameImage(this.#announce, announce) && this.isSilent(nowUs)
  }

  #hasMode(mode: TrustMode): boolean {
    return mode.isKeyed === this.#mode.isKeyed && mode.isSigned === this.#mode.isSigned
  }

  /** False for a message that is protected otherwise than the session, or is as old as one that was heard before. */
  isBelieved({ mode, counter, isProven }: HeardMessage): boolean {
    if (!this.#hasMode(mode)) return false
    if (counter === undefined) return true
    if (counter <= this.#counter) return false
    if (isProven) this.#counter = counter
    return true
  }

  /** True when nothing has come for so long that another session of the same image may take this one's place. */
  isSilent(nowUs: Micros): boolean {
    return nowUs - this.heardUs > SILENCE_US
  }

  /** True when the packet at `at` is of this session and image. */
  owns(bytes: Uint8Array, at: number): boolean {
    return hasSession(bytes, at, this.#id) && imageTagAt(bytes, at) === this.#tag
  }

  /** Takes a data packet that the session owns. */
  handleData(nowUs: Micros, bytes: Uint8Array, at: number, length: number): void {
    const slice = sliceIndexAt(bytes, at)
    const frameBytes = frameBytesAt(bytes, at)
    const symbolIndex = symbolIndexAt(bytes, at)
    if (
      length !== this.geometry.packetBytes ||
      slice >= this.#sliceLimit ||
      frameBytes > this.#maxFrameBytes ||
      !areDataFieldsValid(frameBytes, symbolIndex, this.geometry.symbolBytes)
    ) {
      this.malformedPackets++
      return
    }
    if (this.#guard?.isGenuine(bytes, at, length) === false) {
      this.forgedPackets++
      return
    }
    this.heardUs = nowUs
    this.packets++
    this.bytes += length
    this.assembly.accept(nowUs, slice, frameBytes, symbolIndex, bytes, at + DATA_HEADER_BYTES)
  }

  handleAnnounce(nowUs: Micros, from: PeerAddress, announce: Announce): void {
    if (announce.imageId !== this.#announce.imageId) {
      this.malformedPackets++
      return
    }
    this.#announce = announce
    this.#announcedUs = nowUs
    this.#sender = from
    this.nacks.handleAnnounce(nowUs, announce)
    this.assembly.noteBegun(nowUs, Math.min(announce.begunCount, this.#sliceLimit), false)
  }

  /** The first one counts. */
  handleEnd(nowUs: Micros, end: End): void {
    this.#end ??= end
    this.#sliceLimit = this.#end.sliceCount
    this.assembly.noteBegun(nowUs, this.#sliceLimit, true)
    this.nacks.handleEnd(nowUs)
  }

  /** Goes on with a sender that was started again, in a session of the same mode: what is settled stays so. */
  adopt(nowUs: Micros, { id, from, announce, heard }: Candidate, trust: ReceiverSessionTrust): void {
    this.#id = id
    this.#guard = trust.makeGuard?.()
    this.#counter = heard.isProven ? (heard.counter ?? 0) : 0
    this.#end = undefined
    this.#sliceLimit = MAX_SLICE_COUNT
    this.heardUs = nowUs
    this.isSenderGone = false
    this.assembly.restart(this.#mode.isKeyed || this.#mode.isSigned)
    this.nacks.restart()
    this.handleAnnounce(nowUs, from, announce)
  }
}
