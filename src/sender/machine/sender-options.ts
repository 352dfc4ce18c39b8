import type { ErrorCode } from '../../errors.ts'
import type { AbortReason, End, Geometry, Id64, Phase, SenderTrust } from '../../protocol/index.ts'

/**
 * What a sender does about a receiver that cannot keep up: hold everybody back, mend it after the main pass, or drop it. A source that
 * cannot be read again leaves nothing to mend from: there `defer` is `wait`. Nobody waits for more than 10 minutes for one that settles nothing.
 */
export type SlowPolicy = 'wait' | 'defer' | 'drop'

/** Parity sent before anybody asks: by what was asked for of the slices before, none, or so many percent of each slice's source symbols (0 to 100). */
export type FecPolicy = 'auto' | 'off' | number

/** Makes parity symbols: `FecEncoder` of `src/fec`, or a stand-in by hand. */
export interface ParityEncoder {
  load(frame: Uint8Array, symbolBytes: number): void
  parityInto(symbolIndex: number, into: Uint8Array, offset: number): void
}

export interface SenderMachineOptions {
  readonly session: Id64
  readonly imageId: string
  readonly imageName: string
  /** Undefined while only the end of the source tells it. */
  readonly imageBytes: number | undefined
  readonly geometry: Geometry
  /** Bytes that IP and UDP add to each packet: they count towards the rate. */
  readonly overheadBytes: number
  readonly codec: number
  /** What protects the session; left out: it is open. The geometry is that of a keyed session when this is keyed. */
  readonly trust?: SenderTrust
  readonly encoder: ParityEncoder
  /** Frames kept in memory, 4 to 4096: memory is about this times the slice size. */
  readonly windowSlices: number
  /** Whether `again` events can be answered: a file, or a spool. */
  readonly canReread: boolean
  readonly minReceivers: number
  /** Wait at least this long for receivers before the start. */
  readonly minWaitUs: number
  /** Start after this long with whoever is there. */
  readonly maxWaitUs: number | undefined
  /** Fail with NO_RECEIVERS when the transfer has not started by then. */
  readonly startTimeoutUs: number | undefined
  readonly receiverTimeoutUs: number
  readonly onSlow: SlowPolicy
  readonly fec: FecPolicy
  /** Cap over everything sent, bits per second; undefined: adaptive without a cap. */
  readonly maxBitrate: number | undefined
}

export type SenderCommand =
  /** Start now, with whoever has joined. */
  | { readonly kind: 'start' }
  /**
   * A frame that a `next` or `again` event asked for. The machine keeps the buffer until its `release` event.
   * `expectedSliceCount`: slices that the image will have, where something tells by now.
   */
  | {
      readonly kind: 'frame'
      readonly slice: number
      readonly frame: Uint8Array
      readonly expectedSliceCount?: number | undefined
    }
  /** The source has no further slice; the last has been given. */
  | { readonly kind: 'end'; readonly end: Omit<End, 'kind' | 'isClosing'> }
  | { readonly kind: 'max-bitrate'; readonly bitsPerSec: number | undefined }
  | { readonly kind: 'abort'; readonly reason: AbortReason; readonly text: string }

/** One receiver as the sender knows it. */
export interface ReceiverView {
  readonly id: string
  readonly name: string
  readonly address: string
  /** `live` until it is `done`, has `left` of its own accord, or was `dropped`. */
  readonly state: 'live' | 'done' | 'left' | 'dropped'
  /** Why it left or was dropped. */
  readonly reason: string
  /** Slices that it had settled by its last report. One that is `done` has settled all. */
  readonly settledCount: number
  /** Share of its packets lost since it joined, 0 to 1. */
  readonly lossRatio: number
}

export type SenderEvent =
  /** Make the next slice and hand it in as a `frame` command (or `end`). One event asks for one. */
  | { readonly kind: 'next' }
  /** Make that slice again and hand it in as a `frame` command. */
  | { readonly kind: 'again'; readonly slice: number }
  /** The machine no longer needs that buffer. */
  | { readonly kind: 'release'; readonly frame: Uint8Array }
  | { readonly kind: 'phase'; readonly phase: Phase }
  | { readonly kind: 'receiver'; readonly receiver: ReceiverView }
  /** A receiver speaks only protocol versions `oldest` to `newest` and takes no part. */
  | { readonly kind: 'refused'; readonly address: string; readonly oldest: number; readonly newest: number }
  /** Over. `failed` is left out when every receiver has the whole image. */
  | { readonly kind: 'finished'; readonly failed?: { readonly code: ErrorCode; readonly text: string } }

export interface SenderStats {
  readonly phase: Phase
  /** Bytes sent, with IP and UDP headers, and the datagrams that carried them. */
  readonly wireBytes: number
  readonly packets: number
  /** Symbols sent by purpose: first pass, parity before anybody asked, parity for repair, source symbols again. */
  readonly sourceSymbols: number
  readonly proactiveSymbols: number
  readonly paritySymbols: number
  readonly resentSymbols: number
  readonly controlPackets: number
  readonly slicesBegun: number
  readonly slicesTotal: number | undefined
  readonly slicesDeferred: number
  /** Slices that the main pass has left out, since all receivers had them before they joined. */
  readonly slicesSpared: number
  readonly nacks: number
  readonly malformedPackets: number
  readonly foreignPackets: number
  /** Packets of this session whose tag is wrong, or that have come before. */
  readonly forgedPackets: number
  /** Present rate, bits per second. */
  readonly rateBitsPerSec: number
  readonly grttUs: number
}
