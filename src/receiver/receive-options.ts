import type { KeyObject } from 'node:crypto'
import type { UdpSocketFacts } from '../io/index.ts'
import type { ImageSink } from '../sparse/index.ts'
import type { ReceiverStats } from './machine/index.ts'

/** What to receive and where to put it. Only `target` is required. */
export interface ReceiveOptions {
  /** Path of a file or block device, `-` for standard output, or a sink of the caller's own. */
  readonly target: string | ImageSink
  /** Multicast group, IPv4 or IPv6, with or without port. Default `239.192.83.75:9757`. */
  readonly group?: string
  /** Name or address of the network interface. Default: the system's route to the group. */
  readonly interface?: string
  /** Hops that feedback may take, 1 to 255. Default: the system's. */
  readonly ttl?: number
  /**
   * The group key: path of a key file, or 32 bytes. With it, only sessions under this key are taken. Default: none, only sessions that
   * are not keyed.
   */
  readonly key?: string | Uint8Array
  /**
   * What the sender's signatures are verified with: path of a file with an Ed25519 public key in PEM, or a KeyObject. With it, only
   * sessions signed with its other half are taken. Default: none, signatures are not looked at.
   */
  readonly verifyKey?: string | KeyObject
  /** Take only the image with this identity. Default: the first that is announced. */
  readonly imageId?: string
  /** Name of this receiver, for people. Default: the host's name. */
  readonly name?: string
  /** Fail when no sender is heard for this long, milliseconds. Default: no limit. */
  readonly startTimeoutMs?: number
  /** Fail when the sender has been silent for this long, milliseconds, at least 1000. Default 60,000. */
  readonly receiveTimeoutMs?: number
  /** Write every slice through to stable storage at once. Default false: once, at the end. */
  readonly sync?: boolean
  /** Write past the page cache (O_DIRECT). Default false. */
  readonly direct?: boolean
  /**
   * Go on with the target where an earlier run has stopped, if there is a journal of it; else begin anew. Default false: an
   * existing journal is dropped.
   */
  readonly resume?: boolean
  /** Path of the journal. Default: beside a file (`TARGET.skilfish`); of a device, in the current folder. */
  readonly journal?: string
  /** The target already reads as zeros where the image has holes: do not zero it. Not checked: else the copy is wrong. Default false. */
  readonly assumeZeroed?: boolean
  /** Slices held in memory at once, 8 to 1024; each takes up to a slice's size and parity. Default 64. */
  readonly bufferSlices?: number
  /** Whether to use receive coalescing where it is there. Default `auto`. */
  readonly offload?: 'auto' | 'off'
  /** Test aid: drops that share of incoming packets at random, 0 to 0.9. Default 0. */
  readonly dropRatio?: number
  /** Gives up; the sender is told, and the target stays recognisably incomplete. */
  readonly signal?: AbortSignal
  /** Called about four times a second. */
  readonly onProgress?: (progress: ReceiveProgress) => void
  /** Called with a line of text for each event that an administrator may want in a log. */
  readonly onLog?: (line: string) => void
}

/** How far a transfer is, seen from a receiver. */
export interface ReceiveProgress {
  readonly phase: 'waiting' | 'receiving' | 'flushing'
  readonly elapsedMs: number
  readonly imageName: string | undefined
  /** Image bytes of {@link positionBytes} that an earlier run has settled. */
  readonly resumedBytes: number
  /** Image bytes settled, holes included, and the size where it is known. */
  readonly positionBytes: number
  readonly imageBytes: number | undefined
  /** 0 to 100, where it can be told: the share of the image's size, and of its slices from when the sender has told their number. */
  readonly percent: number | undefined
  readonly etaMs: number | undefined
  /** Bits per second of packets received, over the last second. */
  readonly rateBitsPerSec: number
  readonly stats: ReceiverStats
}

/** What a transfer came to. */
export interface ReceiveResult {
  readonly imageId: string
  readonly imageName: string
  readonly sessionId: string
  readonly imageBytes: number
  readonly dataBytes: number
  readonly sliceCount: number
  /** Image bytes, holes included, and slices that an earlier run has settled. */
  readonly resumedBytes: number
  readonly resumedSliceCount: number
  /** SHA-256 over the digests of all slices, equal to the sender's. Hexadecimal. */
  readonly rootDigest: string
  /**
   * What the finished target can be checked with (`verifyTarget`). Left out when the sender told runs of zeros (an RBD diff): then the
   * target does not determine the root digest.
   */
  readonly fingerprint?: string
  readonly elapsedMs: number
  /** From the first data packet to the end, milliseconds. */
  readonly transferMs: number
  readonly stats: ReceiverStats
  /** What the kernel gave the socket. */
  readonly socket: UdpSocketFacts
}

/** A transfer under way. */
export interface ReceiveHandle {
  /** Resolves when the image is complete, verified and flushed. Rejects with a SkilfishError otherwise, or with what the caller's sink has thrown. */
  readonly finished: Promise<ReceiveResult>
  /** Yields progress until the transfer ends; a slow consumer gets the latest only. */
  progress(): AsyncIterable<ReceiveProgress>
}
