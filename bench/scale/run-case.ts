import { overheadBytes, PacketType, packetTypeAt } from '../../src/protocol/index.ts'
import { World } from '../../test/sim/world.ts'
import type { LossModel } from './losses.ts'
import { MessageMeter } from '../../test/sim/message-meter.ts'

export interface Scale {
  readonly sliceCount: number
  /** Cap of the sender, IP and UDP headers included. */
  readonly bitsPerSec: number
}

export interface ScaleCase {
  readonly receiverCount: number
  readonly loss: LossModel
}

/** What one session in virtual time gave. Times are from the sender's start; all receivers wait for it from before. */
export interface ScaleRun {
  readonly sourceSymbols: number
  /** Symbols of parity sent unasked, and of repairs. */
  readonly proactiveSymbols: number
  readonly repairSymbols: number
  /** Everything that the sender sent, headers and control packets included, over what the source symbols alone take. */
  readonly wireRatio: number
  /** By kind: what reached the sender. */
  readonly messageCounts: Readonly<Record<string, number>>
  readonly messageCount: number
  /** Mean over the session. */
  readonly messagesPerSec: number
  readonly busiestSecondCount: number
  readonly firstDataUs: number
  /** When the last receiver had the whole image, verified. */
  readonly lastCompleteUs: number
  /** When the sender knew of everybody. */
  readonly endUs: number
}

/** Every slice is full, and random. */
const SLICE_BYTES = 262_144

/** On the way to each receiver, and back. */
const DELAY_US = 200

/** Virtual time after which a session has failed. */
const LIMIT_US = 1_200_000_000

/**
 * Runs the real machines of a sender and its receivers.
 * @throws Error when a receiver does not get the image, or the sender does not learn it
 */
export function runCase({ receiverCount, loss }: ScaleCase, { sliceCount, bitsPerSec }: Scale, seed: number): ScaleRun {
  const meter = new MessageMeter()
  let firstDataUs: number | undefined
  const world = new World({
    seed,
    dataBytes: sliceCount * SLICE_BYTES,
    sliceBytes: SLICE_BYTES,
    limitUs: LIMIT_US,
    sender: { maxBitrate: bitsPerSec, windowSlices: 256, encoder: NO_FEC, receiverTimeoutUs: 30_000_000 },
    receivers: Array.from({ length: receiverCount }, (_, index) => {
      const link = { ...loss.linkOf(index), delayUs: DELAY_US }
      return { isHollow: true, receiveTimeoutUs: 30_000_000, path: { down: link, up: link } }
    }),
    onSent: (nowUs, bytes, segmentBytes) => {
      if (packetTypeAt(bytes, 0, segmentBytes) === PacketType.data) firstDataUs ??= nowUs
    },
    onHeard: (nowUs, bytes) => meter.note(nowUs, bytes),
  }).run()
  const completeUs = world.receivers.map((receiver) => receiver?.completeUs ?? Infinity)
  const incompleteCount = completeUs.filter((timeUs) => timeUs === Infinity).length
  if (incompleteCount > 0) throw new Error(`${incompleteCount} of ${receiverCount} receivers did not get the image`)
  if (world.sender.outcome?.failed !== undefined) throw new Error(`the sender failed: ${world.sender.outcome.text!}`)
  const { sourceSymbols, proactiveSymbols, paritySymbols, resentSymbols, wireBytes } = world.sender.machine.stats()
  return {
    ...{ sourceSymbols, proactiveSymbols, repairSymbols: paritySymbols + resentSymbols },
    wireRatio: wireBytes / (sourceSymbols * (world.geometry.packetBytes + overheadBytes(4))),
    messageCounts: Object.fromEntries(meter.counts),
    messageCount: meter.count,
    messagesPerSec: (meter.count * 1e6) / world.nowUs,
    busiestSecondCount: meter.busiestSecondCount,
    firstDataUs: firstDataUs ?? 0,
    lastCompleteUs: completeUs.reduce((last, timeUs) => Math.max(last, timeUs)),
    endUs: world.nowUs,
  }
}

/** Frames are not looked at, so parity may hold anything. */
const NO_FEC = { load: () => undefined, parityInto: () => undefined }
