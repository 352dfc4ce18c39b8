import type { ErrorCode } from '../../errors.ts'
import type { Announce, End, Geometry, Id64, PeerAddress, ReceiverTrust, TrustMode } from '../../protocol/index.ts'
import type { Random } from '../../random.ts'
import type { SettledMap } from './settled-map.ts'

/** Rebuilds lost source symbols in place: `FecDecoder` of `src/fec`, or a stand-in. */
export interface SymbolDecoder {
  /**
   * @param frame whole source symbols back to back; those named in `missing` are to be filled in
   * @param parity at least as many parity symbols as are missing; their bytes lie in `frame`, in places of missing symbols
   */
  decode(
    frame: Uint8Array,
    symbolBytes: number,
    missing: readonly number[],
    parity: readonly { readonly symbolIndex: number; readonly bytes: Uint8Array }[],
  ): void
}

export interface ReceiverMachineOptions {
  /** Drawn afresh for every run of a receiver; not 0. */
  readonly receiverId: Id64
  /** For people. Clipped to what a message can carry. */
  readonly name: string
  readonly random: Random
  readonly decoder: SymbolDecoder
  /** Keys. Left out: takes part in sessions that are not keyed, and does not look at signatures. */
  readonly trust?: ReceiverTrust
  /** Take part only in a session of this image. Left out: in the first that is announced. */
  readonly imageId?: string
  /** Codecs whose frames the driver can undo. */
  readonly codecs: readonly number[]
  /** Fail with NO_SENDER when no session was found for this long, microseconds. Left out: no limit. */
  readonly startTimeoutUs?: number
  /** Fail with SENDER_LOST when the session has been silent for this long, microseconds. */
  readonly receiveTimeoutUs: number
  /** Slices held at once, arriving and in the driver's hands, 1 to 65,536: memory is this times the largest frame of a slice. */
  readonly bufferSlices: number
  /** Makes the memory of one of those buffers, any bytes, the machine's from then on. Default: new memory. */
  readonly makeBuffer?: (byteCount: number) => Uint8Array
  /** Hand slices out in ascending order; after one that was rejected those behind it, which are to be rejected, too, again. */
  readonly isSequential: boolean
}

export type ReceiverCommand =
  /**
   * The sink is ready: slices may be handed out, and the sender is told that we are here. `settled`: the slices that an earlier
   * run has settled; the machine's from now on.
   */
  | { readonly kind: 'opened'; readonly settled?: SettledMap }
  /** The slice was verified and written: its buffer is the machine's again. */
  | { readonly kind: 'settled'; readonly slice: number }
  /**
   * The slice failed its digest, or in sequence its turn is not yet, since one before it has: its buffer is the machine's again, its
   * symbols are forgotten and asked for again.
   */
  | { readonly kind: 'rejected'; readonly slice: number }
  /** The root digest matches and everything is on stable storage. */
  | { readonly kind: 'finished' }
  /** Give up; the sender is told the reason. No event follows. */
  | { readonly kind: 'leave'; readonly reason: string }

export type ReceiverEvent =
  /** A session was found; with keys, it is authentic and live. The driver opens its sink, then commands `opened`. */
  | {
      readonly kind: 'session'
      readonly announce: Announce
      readonly geometry: Geometry
      /** How the session is protected: frames are to be opened accordingly. */
      readonly mode: TrustMode
      readonly session: Id64
      readonly sender: PeerAddress
    }
  /** A whole frame, not yet verified. The driver may read and change `frame` until it commands `settled` or `rejected`, which it owes for each. */
  | { readonly kind: 'slice'; readonly slice: number; readonly frame: Uint8Array }
  /** The sender was started again: frames from now on, and the root digest, are sealed for this session. */
  | { readonly kind: 'adopted'; readonly session: Id64 }
  /** Something that is heard while a session is sought, for a log. */
  | { readonly kind: 'unfit'; readonly text: string }
  /** Every slice is settled. The driver verifies the root digest, flushes, then commands `finished`. */
  | { readonly kind: 'complete'; readonly end: End }
  /** The sender knows, or is gone: over, with success. */
  | { readonly kind: 'acknowledged' }
  /** Over, without success. */
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly text: string }

export interface ReceiverStats {
  /** Data packets of the session, and their bytes without IP and UDP headers. */
  readonly packets: number
  readonly bytes: number
  /** Data packets that brought nothing new. */
  readonly duplicatePackets: number
  /**
   * Symbols that were sent while we listened and did not arrive. Of the first pass, once a slice, when it becomes whole or is
   * first asked for: its source symbols not received; a slice passed over without a symbol counts as many as the slice heard
   * last. Of repairs: the gaps between those that came. What was dropped for want of buffers does not count.
   */
  readonly lostPackets: number
  /** Source symbols rebuilt from parity. */
  readonly parityUsed: number
  /** Slices begun as far as is known, settled, and of the whole image once that is known. */
  readonly slicesBegun: number
  readonly slicesSettled: number
  readonly slicesTotal: number | undefined
  /** Slices that the image will have, as the sender expects from what it has read of it; it may say nothing. */
  readonly slicesExpected: number | undefined
  readonly nacksSent: number
  /** NACKs not sent because the sender announced enough repairs during the backoff. */
  readonly nacksSuppressed: number
  /** Packets of other sessions or other versions, and packets that are none. */
  readonly foreignPackets: number
  readonly malformedPackets: number
  /** Packets of the session whose tag or signature is wrong, or that have come before. */
  readonly forgedPackets: number
  /** Slices that failed their digest. */
  readonly rejectedSlices: number
  /** Symbols dropped since no buffer was free (or, in sequence, since their turn is not yet), and symbols given up to make room. */
  readonly droppedForBuffers: number
  /** Share of the slice buffers in use, 0 to 100. */
  readonly queuePercent: number
}
