import {
  DATA_HEADER_BYTES,
  decodeControl,
  decodeFrame,
  DIGEST_COVERS_FROM,
  DIGEST_OFFSET,
  FRAME_HEADER_BYTES,
  frameBytesAt,
  LIMITS,
  MAX_SLICE_BYTES,
  PACKET_TAG_BYTES,
  PacketType,
  packetTypeAt,
  peekSealed,
  RootDigest,
  sliceIndexAt,
  symbolIndexAt,
  type ControlMessage,
} from '../../src/protocol/index.ts'
import { burstBytes } from '../../src/ratelimit/index.ts'
import { sha256 } from '../../src/digest.ts'
import type { ReceiverParty } from '../sim/receiver-party.ts'
import type { SenderParty } from '../sim/sender-party.ts'
import { SimulatedTarget } from '../sim/simulated-target.ts'
import type { SyntheticImage } from '../sim/synthetic-image.ts'
import type { World } from '../sim/world.ts'

/** Bounds of docs/architecture.md and of the code that states them. */
const MOST = { packets: 64 + 3, acks: 2 * 8 * LIMITS.acknowledgedReceivers, quietRanges: 256 }

const ECHOES = LIMITS.slicesPerMessage + LIMITS.rangesPerMessage

export interface Bounds {
  readonly windowSlices: number
  readonly maxBitrate: number | undefined
  readonly keys?: { readonly isKeyed: boolean }
}

/**
 * What must hold at every step of every world, whatever the network and the parties do. Each check throws an Error that says
 * what was seen.
 */
export class Invariants {
  readonly #bounds: Bounds
  readonly #tagBytes: number
  readonly #sliceBytes: number
  /** The image as it must be on every target. */
  #image: SyntheticImage | undefined
  #truth: Uint8Array = new Uint8Array(0)
  #spans: readonly (readonly [start: number, end: number])[] = []
  /** All that ever ran, by id: the sender knows them by it. */
  readonly #byId = new Map<string, ReceiverParty>()
  readonly #writesSeen = new Map<ReceiverParty, number>()
  readonly #judged = new Set<SenderParty | ReceiverParty>()

  constructor(bounds: Bounds, sliceBytes: number) {
    this.#bounds = bounds
    this.#tagBytes = bounds.keys?.isKeyed === true ? PACKET_TAG_BYTES : 0
    this.#sliceBytes = sliceBytes
  }

  /** To be called after each event of the world. */
  readonly check = (world: World): void => {
    if (this.#image === undefined) this.#learn(world.image)
    this.#checkSender(world)
    for (let index = 0; index < world.receivers.length; index++) {
      const party = world.receivers[index]
      if (party !== undefined) this.#checkReceiver(world, party)
    }
  }

  /** To be called with each packet that a receiver sends. */
  readonly checkFeedback = (world: World, packet: Uint8Array, from: number): void => {
    const party = world.receivers[from]
    const message = decoded(packet)
    // While it is being made, what it says comes before the world knows it: it holds nothing yet.
    if (party === undefined || !('receiver' in message)) return
    const sliceCount = world.image.frames.length
    if (message.kind === 'report') {
      claim(message.settledCount === party.settledCount, () => `${from} reports ${message.settledCount} slices settled`)
      for (let slice = 0; slice < message.settledBelow; slice++) {
        claim(party.isSettled(slice), () => `${from} reports all below ${message.settledBelow}, and lacks ${slice}`)
      }
    } else if (message.kind === 'nack') {
      for (const { slice } of message.deficits) this.#checkAsked(party, slice, sliceCount)
      for (const { first, count } of message.missing) {
        for (let slice = first; slice < first + count; slice++) this.#checkAsked(party, slice, sliceCount)
      }
    } else if (message.kind === 'done') {
      claim(party.settledCount === sliceCount, () => `${from} says Done with ${party.settledCount} of ${sliceCount}`)
    }
  }

  /** To be called with each packet or run that a sender sends. */
  readonly checkSent = (bytes: Uint8Array, segmentBytes: number): void => {
    const image = this.#image
    // The first packets of the first sender are sent while the world is being made.
    if (image === undefined) return
    for (let at = 0; at < bytes.length; at += segmentBytes) {
      const packet = bytes.subarray(at, at + segmentBytes)
      if (packetTypeAt(packet, 0, packet.length) === PacketType.data) checkData(image, packet, this.#tagBytes)
      else checkControl(image, decoded(packet))
    }
  }

  #checkAsked(party: ReceiverParty, slice: number, sliceCount: number): void {
    claim(slice < sliceCount, () => `${party.index} asks for slice ${slice} of ${sliceCount}`)
    claim(!party.isSettled(slice), () => `${party.index} asks for slice ${slice}, which it has settled`)
  }

  #learn(image: SyntheticImage): void {
    this.#image = image
    const target = new SimulatedTarget(image.imageBytes, 0)
    const spans: [number, number][] = []
    for (const frame of image.frames) spans.push(target.write(frame, this.#sliceBytes))
    this.#spans = spans
    this.#truth = target.bytes
  }

  #checkSender({ sender, nowUs, image }: World): void {
    const held = sender.machine.holdings()
    const { windowSlices, maxBitrate } = this.#bounds
    claim(held.frames <= windowSlices, () => `the sender holds ${held.frames} frames`)
    claim(held.dueRepairs <= windowSlices, () => `${held.dueRepairs} repairs are due`)
    claim(held.packets <= MOST.packets, () => `${held.packets} control packets wait`)
    claim(held.acks <= MOST.acks, () => `${held.acks} acknowledgements wait`)
    claim(held.echoes <= ECHOES, () => `${held.echoes} echoes wait`)
    claim(held.receivers <= this.#byId.size, () => `the sender knows ${held.receivers} of ${this.#byId.size} receivers`)
    if (maxBitrate !== undefined) {
      const { wireBytes } = sender.machine.stats()
      const most = burstBytes(maxBitrate, 1500) + ((nowUs - sender.bornUs) * maxBitrate) / 8e6
      claim(wireBytes <= most, () => `${wireBytes} bytes were sent where the rate allows ${most}`)
    }
    if (sender.outcome === undefined || this.#judged.has(sender)) return
    this.#judged.add(sender)
    const views = sender.machine.receivers()
    for (const { id, state } of views) {
      if (state !== 'done') continue
      const party = this.#byId.get(id)
      const settled = party?.settledCount ?? 0
      claim(settled === image.frames.length, () => `the sender takes ${id} for done, which has settled ${settled}`)
    }
    const isSuccess = sender.outcome.failed === undefined
    claim(!isSuccess || views.length > 0, () => 'the sender succeeds with nobody')
    claim(!isSuccess || views.every(({ state }) => state === 'done'), () => 'the sender succeeds without everybody')
    claim(!views.some(({ state }) => state === 'live') || !isSuccess, () => 'the sender leaves live receivers')
  }

  #checkReceiver({ image }: World, party: ReceiverParty): void {
    this.#byId.set(party.id, party)
    const held = party.machine.holdings()
    claim(held.buffers <= party.bufferSlices, () => `${party.index} has ${held.buffers} buffers`)
    claim(held.quietRanges <= MOST.quietRanges, () => `${party.index} keeps ${held.quietRanges} ranges`)
    claim(held.rejections <= image.frames.length, () => `${party.index} keeps ${held.rejections} rejections`)
    const { target } = party
    if (target === undefined) throw new Error('a receiver of the model has a target')
    // Nothing but a write can change a target: after each, all that counts as settled is compared.
    if (this.#writesSeen.get(party) !== target.writeCount) {
      this.#writesSeen.set(party, target.writeCount)
      const { slicesSettled } = party.machine.stats()
      claim(slicesSettled === party.settledCount, () => `${party.index} counts ${slicesSettled} slices as settled`)
      for (let slice = 0; slice < this.#spans.length; slice++) {
        if (party.isSettled(slice)) this.#requireSame(party, target, ...this.#spans[slice]!)
      }
    }
    if (party.outcome === undefined || party.outcome.failed !== undefined || this.#judged.has(party)) return
    this.#judged.add(party)
    this.#requireSame(party, target, 0, image.imageBytes)
    const digest = Buffer.from(rootDigestOf(image, target.bytes))
    claim(digest.equals(image.end.rootDigest), () => `${party.index} is complete with another root digest`)
  }

  #requireSame({ index }: ReceiverParty, { bytes }: SimulatedTarget, start: number, end: number): void {
    const isSame = Buffer.compare(bytes.subarray(start, end), this.#truth.subarray(start, end)) === 0
    claim(isSame, () => `the target of ${index} differs from the image between ${start} and ${end}, which is settled`)
  }
}

function claim(holds: boolean, seen: () => string): void {
  if (!holds) throw new Error(`invariant broken: ${seen()}`)
}

function decoded(packet: Uint8Array): ControlMessage {
  const isSealed = packetTypeAt(packet, 0, packet.length) === PacketType.sealed
  const message = (isSealed ? peekSealed : decodeControl)(packet, 0, packet.length)
  if (typeof message === 'string') throw new Error(`invariant broken: a party sends a packet that is ${message}`)
  return message
}

function checkData(image: SyntheticImage, packet: Uint8Array, tagBytes: number): void {
  const [slice, symbol] = [sliceIndexAt(packet, 0), symbolIndexAt(packet, 0)]
  const frame = image.frames[slice]
  claim(frame?.length === frameBytesAt(packet, 0), () => `a packet of slice ${slice} has another length than its frame`)
  const symbolBytes = packet.length - DATA_HEADER_BYTES - tagBytes
  const source = frame!.subarray(symbol * symbolBytes, (symbol + 1) * symbolBytes)
  const sent = packet.subarray(DATA_HEADER_BYTES, DATA_HEADER_BYTES + source.length)
  claim(Buffer.compare(source, sent) === 0, () => `symbol ${symbol} of slice ${slice} is sent with other bytes`)
}

function checkControl({ frames, imageBytes, end }: SyntheticImage, message: ControlMessage): void {
  if (message.kind === 'announce') {
    claim(message.begunCount <= frames.length, () => `${message.begunCount} slices are announced`)
  } else if (message.kind === 'end') {
    const isRight = Buffer.compare(message.rootDigest, end.rootDigest) === 0 && message.imageBytes === imageBytes
    claim(isRight && message.sliceCount === frames.length, () => 'End tells of another image')
  }
}

/** The root digest from the bytes of a target, cut as the image's frames are. */
function rootDigestOf(image: SyntheticImage, bytes: Uint8Array): Uint8Array {
  const root = new RootDigest(sha256)
  image.frames.forEach((frame, slice) => {
    const parts: Uint8Array[] = [frame.subarray(DIGEST_COVERS_FROM, DIGEST_OFFSET)]
    const header = decodeFrame(frame, MAX_SLICE_BYTES)
    if (typeof header === 'string') throw new Error(header)
    parts.push(frame.subarray(FRAME_HEADER_BYTES, header.payloadOffset))
    for (const { offset, lengthBytes } of header.runs) parts.push(bytes.subarray(offset, offset + lengthBytes))
    root.add(slice, sha256(...parts))
  })
  return root.finish(image.imageBytes, image.frames.length)
}
