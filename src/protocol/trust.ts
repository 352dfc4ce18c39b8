import type { Id64 } from './ids.ts'

/** How a session is protected, beyond digests. */
export interface TrustMode {
  /** Frames are encrypted, data packets and control messages carry tags: under keys that come from a group key. */
  readonly isKeyed: boolean
  /** Frames, and the sender's control messages that decide anything, are signed. */
  readonly isSigned: boolean
}

/**
 * How the digests of a session's slices are made. A signature covers the digest alone, so that nobody must be able to find other bytes
 * with the same one: SHA-256. Without signatures whoever can change a slice can change its digest too, and it tells errors alone: GMAC.
 */
export type DigestKind = 'sha256' | 'gmac'

export const DIGEST_NAMES: Readonly<Record<DigestKind, string>> = { sha256: 'SHA-256', gmac: 'GMAC' }

export const isDigestKind = (value: unknown): value is DigestKind => value === 'sha256' || value === 'gmac'

export const digestKindOf = ({ isSigned }: Pick<TrustMode, 'isSigned'>): DigestKind => (isSigned ? 'sha256' : 'gmac')

/** Bytes of the tag at the end of a data packet of a keyed session. */
export const PACKET_TAG_BYTES = 8

/** Bytes of the tag at the end of a keyed frame: AES-GCM's longest. */
export const FRAME_TAG_BYTES = 16

/** Bytes of the signature behind a signed frame: Ed25519 (RFC 8032). */
export const FRAME_SIGNATURE_BYTES = 64

/** Bytes of tag and signature of a sealed control message: HMAC-SHA-256 cut to half, Ed25519. */
export const CONTROL_TAG_BYTES = 16
export const CONTROL_SIGNATURE_BYTES = 64

/** Most bytes that a frame grows by when it is sealed. */
export const MAX_SEAL_BYTES: number = FRAME_SIGNATURE_BYTES + FRAME_TAG_BYTES

/** Tags of data packets under a key of the session. Injected: pure folders have no cryptography of their own. */
export interface PacketGuard {
  /** Fills in the last 8 bytes of the packet of `lengthBytes` at `at`. */
  tagInto(packet: Uint8Array, at: number, lengthBytes: number): void
  /** Whether the last 8 bytes are the tag of what is before. */
  isGenuine(packet: Uint8Array, at: number, lengthBytes: number): boolean
}

/** What one end of a session does to its own control messages. */
export interface ControlSeal {
  /** The tag, 16 bytes; left out: the session is not keyed. */
  readonly tag?: (bytes: Uint8Array) => Uint8Array
  /** The signature, 64 bytes; left out: this end does not sign. */
  readonly sign?: (bytes: Uint8Array) => Uint8Array
}

/** What one end asks of the other end's control messages. */
export interface ControlProof {
  /** Left out: this end has no group key. */
  readonly hasTag?: (bytes: Uint8Array, tag: Uint8Array) => boolean
  /** Left out: this end has nothing to verify signatures with. */
  readonly hasSignature?: (bytes: Uint8Array, signature: Uint8Array) => boolean
}

/** A sender's side of a protected session. */
export interface SenderTrust extends TrustMode, ControlSeal, Pick<ControlProof, 'hasTag'> {
  /** There when the session is keyed. */
  readonly guard?: PacketGuard
}

/** A receiver's side of one session. */
export interface ReceiverSessionTrust extends Pick<ControlSeal, 'tag'>, ControlProof {
  /** There when this end has a group key. Takes some time and memory. */
  readonly makeGuard?: () => PacketGuard
}

/** What a receiver asks of any session: `isKeyed` and `isSigned` say what it never goes without. */
export interface ReceiverTrust extends TrustMode {
  /** Its side of a session, of which nothing is known yet. */
  open(session: Id64): ReceiverSessionTrust
  /**
   * The nonce of a Challenge to that session: nobody else can know it before. Always the same for the same two arguments.
   * @param epoch sessions that this receiver has taken part in before
   */
  challenge(session: Id64, epoch: number): Id64
}
