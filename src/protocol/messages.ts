import type { Id64 } from './ids.ts'

/** Phases of a session: waiting for receivers, the main pass, mending what is missing after it. */
export type Phase = 'gathering' | 'sending' | 'mending'

/** Why a sender ends a session without success. */
export type AbortReason = 'sender-failed' | 'interrupted' | 'too-slow' | 'data-gone' | 'too-many-receivers'

/** Sender's timing for the feedback of its group. */
export interface Feedback {
  readonly grttUs: number
  readonly groupCount: number
  readonly reportIntervalMs: number
  readonly receiverTimeoutMs: number
  /** A receiver joins once this is above the number that it drew. */
  readonly joinLimit: number
}

export interface Announce {
  readonly kind: 'announce'
  readonly imageId: string
  readonly imageName: string
  readonly imageBytes: number | undefined
  readonly sliceBytes: number
  readonly packetBytes: number
  /** Codec that frames may use: 0 none, 1 LZO1X, 2 zstd. */
  readonly codec: number
  readonly phase: Phase
  /** Slices of which at least one packet has been sent. */
  readonly begunCount: number
  readonly feedback: Feedback
  /** Sender's clock in microseconds modulo 2^32. */
  readonly sentAtUs: number
  /** The cap or the present rate; 0: none. */
  readonly rateBitsPerSec: number
  /** Slices that the image will have, by what the sender has read of it so far. Left out: not known. */
  readonly expectedSliceCount?: number
}

export interface Join {
  readonly kind: 'join'
  readonly receiver: Id64
  readonly name: string
  /** Slices that are settled already, the longest ranges of them. Left out: none. */
  readonly settled?: readonly SliceRange[]
}

export interface JoinAck {
  readonly kind: 'join-ack'
  readonly receivers: readonly Id64[]
}

export interface Report {
  readonly kind: 'report'
  readonly receiver: Id64
  readonly name: string
  readonly settledCount: number
  /** Every slice below this is settled. */
  readonly settledBelow: number
  /** Packets got and packets known to be lost since the last report. */
  readonly receivedPackets: number
  readonly lostPackets: number
  /** Share of the receiver's buffers in use, 0 to 100. */
  readonly queuePercent: number
  /** `sentAtUs` of the last announce heard, and for how long it was held. */
  readonly echoSentAtUs: number
  readonly echoHeldUs: number
}

/** One slice's deficit: `deficit` more symbols are needed; `heard` is the highest symbol index heard plus one (0: none). */
export interface Deficit {
  readonly slice: number
  readonly deficit: number
  readonly heard: number
}

/** `count` slices from `first` on. */
export interface SliceRange {
  readonly first: number
  readonly count: number
}

export interface Nack {
  readonly kind: 'nack'
  readonly receiver: Id64
  readonly deficits: readonly Deficit[]
  /** Slices of which the receiver holds nothing. */
  readonly missing: readonly SliceRange[]
}

export interface RepairEcho {
  readonly kind: 'repair-echo'
  /** Symbols that are about to be sent, by slice. */
  readonly pending: readonly { readonly slice: number; readonly symbolCount: number }[]
  /** Slices that will be mended after the main pass. */
  readonly deferred: readonly SliceRange[]
}

export interface End {
  readonly kind: 'end'
  readonly sliceCount: number
  readonly imageBytes: number
  /** Plain bytes of all slices: the image without its holes. */
  readonly dataBytes: number
  readonly rootDigest: Uint8Array
  /** The sender leaves now. */
  readonly isClosing: boolean
}

export interface Done {
  readonly kind: 'done'
  readonly receiver: Id64
  readonly name: string
}

export interface DoneAck {
  readonly kind: 'done-ack'
  readonly receivers: readonly Id64[]
}

export interface Leave {
  readonly kind: 'leave'
  readonly receiver: Id64
  readonly name: string
  readonly reason: string
}

export interface Abort {
  readonly kind: 'abort'
  /** Left out: the session is over for all. */
  readonly receiver?: Id64
  readonly reason: AbortReason
  readonly text: string
}

/** A receiver's question whether the session is live and not a recording. */
export interface Challenge {
  readonly kind: 'challenge'
  /** Drawn for this question alone; not 0. */
  readonly nonce: Id64
}

/** The sender's answer: the session has heard those Challenges. */
export interface Proof {
  readonly kind: 'proof'
  readonly nonces: readonly Id64[]
}

export type ControlMessage =
  Announce | Join | JoinAck | Report | Nack | RepairEcho | End | Done | DoneAck | Leave | Abort | Challenge | Proof
