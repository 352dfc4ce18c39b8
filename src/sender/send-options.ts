import type { KeyObject } from 'node:crypto'
import { SkilfishError } from '../errors.ts'
import type { UdpSocketFacts } from '../io/index.ts'
import type { Phase } from '../protocol/index.ts'
import type { ImageSource } from '../sparse/index.ts'
import type { FecPolicy, ReceiverView, SenderStats, SlowPolicy } from './machine/index.ts'

/** How frames are compressed. `zstd` needs Node.js 22.15 or newer at both ends. */
export type Compression = 'lzo' | 'zstd' | 'none'

/** What to send, to whom, and how. Only `source` is required. */
export interface SendOptions {
  /** Path of a file or block device, `-` for standard input, or a source of the caller's own. */
  readonly source: string | ImageSource
  /** Multicast group, IPv4 or IPv6, with or without port. Default `239.192.83.75:9757`. */
  readonly group?: string
  /** Name or address of the network interface. Default: the system's route to the group. */
  readonly interface?: string
  /** Routers that packets may cross, plus one: 1 to 255. Default 1, the local network. */
  readonly ttl?: number
  /** Smallest MTU on the way, 576 to 65,535 bytes. Default 1500, or the interface's where that is smaller. */
  readonly mtuBytes?: number
  /** Plain bytes of a slice: a multiple of 4096, 16 KiB to 1 MiB. Default 256 KiB. */
  readonly sliceBytes?: number
  /** Default `lzo`. */
  readonly compress?: Compression
  /** Default `auto`. */
  readonly fec?: FecPolicy
  /** Cap over everything sent, bits per second, at least 10,000; a fraction is left out. Default: none, the rate follows the receivers' reports. */
  readonly maxBitrate?: number
  /** Receivers to wait for, 0 to 16,384. Default 1. */
  readonly minReceivers?: number
  /** Wait at least this long for receivers, milliseconds. Default 0. */
  readonly minWaitMs?: number
  /** Start this long after the first receiver came, milliseconds, even when there are too few. Default: no limit. */
  readonly maxWaitMs?: number
  /** Fail when the transfer has not started after this long, milliseconds. Default: no limit. */
  readonly startTimeoutMs?: number
  /** A receiver silent for this long is dropped, milliseconds, at least 1000. Default 60,000. */
  readonly receiverTimeoutMs?: number
  /** Default `defer`, which of a source that is read once, without a spool, is `wait`. */
  readonly onSlow?: SlowPolicy
  /** The group key: path of a key file, or 32 bytes. Encrypts frames, and lets only receivers with the same key take part. Default: none. */
  readonly key?: string | Uint8Array
  /** What frames and control messages are signed with: path of a file with an Ed25519 private key in PEM, or a KeyObject. Default: none. */
  readonly signKey?: string | KeyObject
  /** Name of the image, for people. Default: the source's. */
  readonly name?: string
  /**
   * Identity of the image, 1 to 160 characters. Default: made from the source's name, size and time of change and from how it is cut and
   * compressed, as slices that differ cannot be gone on with; of a source without an identity (a device, a pipe) another each time.
   */
  readonly imageId?: string
  /** Path of a file that keeps what a pipe yielded, so that it can be sent again. Removed at the end. */
  readonly spool?: string
  /** UDP port on which feedback arrives. Default: chosen by the system. */
  readonly feedbackPort?: number
  /** Frames kept in memory for repairs, 16 to 4096; each takes up to a slice's size. Default 256. */
  readonly windowSlices?: number
  /** Whether to use segmentation offload where it is there. Default `auto`. */
  readonly offload?: 'auto' | 'off'
  /** Aborts the transfer at both ends. */
  readonly signal?: AbortSignal
  /** Called about four times a second, and at each change of phase. */
  readonly onProgress?: (progress: SendProgress) => void
  /** Called with a line of text for each event that an administrator may want in a log. */
  readonly onLog?: (line: string) => void
}

/** How far a transfer is, seen from the sender. */
export interface SendProgress {
  readonly phase: Phase
  readonly elapsedMs: number
  /** Image bytes behind the first pass, holes included, and the size where it is known. */
  readonly positionBytes: number
  readonly imageBytes: number | undefined
  /**
   * 0 to 100, where the size is known: the share of the image's data behind the first pass, or of its size where the source does not tell
   * its holes. In the mending phase: the share of slices settled by the slowest live receiver.
   */
  readonly percent: number | undefined
  readonly etaMs: number | undefined
  readonly stats: SenderStats
  readonly receivers: readonly ReceiverView[]
}

/** What a transfer came to. */
export interface SendResult {
  readonly imageId: string
  readonly imageName: string
  readonly sessionId: string
  readonly imageBytes: number
  /**
   * Bytes sent as data before compression, left out as holes or zero pages, and sent as frames after compression (once). After a
   * failure: of what was read by then, so that data and holes may be less than the image.
   */
  readonly dataBytes: number
  readonly holeBytes: number
  readonly frameBytes: number
  readonly sliceCount: number
  /** SHA-256 over the digests of all slices: see docs/protocol.md. Hexadecimal. */
  readonly rootDigest: string
  readonly elapsedMs: number
  /** From the first data packet to the end, milliseconds. */
  readonly transferMs: number
  readonly stats: SenderStats
  readonly receivers: readonly ReceiverView[]
  /** What the kernel gave the socket. */
  readonly socket: UdpSocketFacts
}

/** A transfer under way. */
export interface SendHandle {
  /**
   * Resolves when every receiver has the whole image. Rejects with a SkilfishError otherwise: RECEIVERS_FAILED (a
   * {@link ReceiversFailedError}, which carries the result), NO_RECEIVERS, INTERRUPTED, and those of source and network;
   * or with what the caller's source has thrown.
   */
  readonly finished: Promise<SendResult>
  /** Yields progress until the transfer ends; a slow consumer gets the latest only. */
  progress(): AsyncIterable<SendProgress>
  /** Changes the cap while running; undefined lifts it. */
  setMaxBitrate(bitsPerSec: number | undefined): void
  /** The present cap, bits per second. */
  readonly maxBitrate: number | undefined
  /** Starts now, with whoever has joined. */
  start(): void
}

/** Some receivers did not get the whole image: `result` tells which, and how far the others are. */
export class ReceiversFailedError extends SkilfishError {
  readonly result: SendResult

  constructor(text: string, result: SendResult) {
    super('RECEIVERS_FAILED', text)
    this.name = 'ReceiversFailedError'
    this.result = result
  }
}
