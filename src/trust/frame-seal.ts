import { sign, verify, type KeyObject } from 'node:crypto'
import {
  DIGEST_OFFSET,
  FRAME_HEADER_BYTES,
  FRAME_SIGNATURE_BYTES,
  FRAME_TAG_BYTES,
  type Id64,
} from '../protocol/index.ts'
import type { FrameCipher } from './frame-cipher.ts'
import { sessionBytes } from './session-keys.ts'

/** Bytes of a nonce of AES-GCM (NIST SP 800-38D): the slice's index behind zeros. */
const NONCE_BYTES = 12

const FIRST_CAPACITY = 1024

/** What seals and opens the frames of one session: `cipher` when it is keyed. */
interface FrameContext {
  readonly session: Id64
  readonly imageId: string
  readonly cipher?: FrameCipher | undefined
}

/**
 * Signs and encrypts frames where they lie (docs/protocol.md, "Sealed frames").
 *
 * No nonce is ever used for two different frames: the tag of each slice is kept, and when the same slice is sealed again and comes out
 * otherwise, nothing of it is given out. Memory: 16 bytes a slice, when there is a key.
 */
export class FrameSealer {
  /** Bytes that a frame grows by. */
  readonly extraBytes: number
  readonly #context: FrameContext
  readonly #signKey: KeyObject | undefined
  #tags = new Uint8Array(FIRST_CAPACITY * FRAME_TAG_BYTES)
  /** Slices below this have been sealed before. */
  #sealedCount = 0

  constructor(context: FrameContext & { readonly signKey?: KeyObject | undefined }) {
    this.#context = context
    this.#signKey = context.signKey
    const tagBytes = context.cipher === undefined ? 0 : FRAME_TAG_BYTES
    this.extraBytes = (context.signKey === undefined ? 0 : FRAME_SIGNATURE_BYTES) + tagBytes
  }

  /**
   * Seals a frame in its place. Slices come in ascending order the first time, and any of them again.
   * @param buffer the frame, and room for {@link extraBytes} more
   * @returns the sealed frame, a part of `buffer`; undefined when the slice is not what it was the first time, and `buffer` is wiped
   */
  seal(slice: number, buffer: Uint8Array, frameBytes: number): Uint8Array | undefined {
    const { session, imageId, cipher } = this.#context
    let lengthBytes = frameBytes
    if (this.#signKey !== undefined) {
      buffer.set(sign(null, signedPart(this.#context, slice, buffer), this.#signKey), lengthBytes)
      lengthBytes += FRAME_SIGNATURE_BYTES
    }
    if (cipher === undefined) return buffer.subarray(0, lengthBytes)
    const sealedBytes = lengthBytes + FRAME_TAG_BYTES
    const associated = associatedData(session, imageId, slice, sealedBytes)
    const tag = cipher.seal(nonceOf(slice), associated, buffer.subarray(0, lengthBytes))
    if (!this.#isFirstOrSame(slice, tag)) {
      buffer.fill(0)
      return undefined
    }
    buffer.set(tag, lengthBytes)
    return buffer.subarray(0, sealedBytes)
  }

  #isFirstOrSame(slice: number, tag: Uint8Array): boolean {
    const at = slice * FRAME_TAG_BYTES
    if (slice < this.#sealedCount) return Buffer.compare(this.#tags.subarray(at, at + FRAME_TAG_BYTES), tag) === 0
    if (slice !== this.#sealedCount) throw new RangeError(`slice: expected ${this.#sealedCount}, got ${slice}`)
    if (at === this.#tags.length) {
      const tags = new Uint8Array(this.#tags.length * 2)
      tags.set(this.#tags)
      this.#tags = tags
    }
    this.#tags.set(tag, at)
    this.#sealedCount++
    return true
  }
}

/** Opens the frames of one session: decrypts, and checks tag and signature. */
export class FrameOpener {
  readonly #context: FrameContext
  readonly #isSigned: boolean
  readonly #verifyKey: KeyObject | undefined

  /** @param context.isSigned whether frames carry a signature; it is checked when there is a `verifyKey` */
  constructor(context: FrameContext & { readonly isSigned: boolean; readonly verifyKey?: KeyObject | undefined }) {
    this.#context = context
    this.#isSigned = context.isSigned
    this.#verifyKey = context.verifyKey
  }

  /**
   * @param sealed is decrypted where it lies, and of no use when this returns undefined
   * @returns the frame, a part of `sealed`; undefined when tag or signature are not those of this slice in this session
   */
  open(slice: number, sealed: Uint8Array): Uint8Array | undefined {
    const plain = this.#decrypt(slice, sealed)
    if (plain === undefined || !this.#isSigned) return plain
    const frameBytes = plain.length - FRAME_SIGNATURE_BYTES
    if (frameBytes < FRAME_HEADER_BYTES) return undefined
    if (this.#verifyKey !== undefined) {
      const signature = plain.subarray(frameBytes)
      if (!verify(null, signedPart(this.#context, slice, plain), this.#verifyKey, signature)) return undefined
    }
    return plain.subarray(0, frameBytes)
  }

  #decrypt(slice: number, sealed: Uint8Array): Uint8Array | undefined {
    const { session, imageId, cipher } = this.#context
    if (cipher === undefined) return sealed
    const lengthBytes = sealed.length - FRAME_TAG_BYTES
    if (lengthBytes < FRAME_HEADER_BYTES) return undefined
    const plain = sealed.subarray(0, lengthBytes)
    const associated = associatedData(session, imageId, slice, sealed.length)
    if (cipher.open(nonceOf(slice), associated, plain, sealed.subarray(lengthBytes))) return plain
    // Nobody shall take it for the frame.
    plain.fill(0)
    return undefined
  }
}

function nonceOf(slice: number): Uint8Array {
  const nonce = Buffer.alloc(NONCE_BYTES)
  nonce.writeUInt32BE(slice, NONCE_BYTES - 4)
  return nonce
}

/** Session, slice, and length of the sealed frame, then the image id. */
function associatedData(session: Id64, imageId: string, slice: number, sealedBytes: number): Uint8Array {
  return contextBytes('skilfish frame', session, imageId, slice, sealedBytes)
}

/** What a frame's signature covers: session, slice, image id, and the digest, which names the content. */
function signedPart({ session, imageId }: FrameContext, slice: number, frame: Uint8Array): Uint8Array {
  const context = contextBytes('skilfish slice', session, imageId, slice, 0)
  return Buffer.concat([frame.subarray(DIGEST_OFFSET, FRAME_HEADER_BYTES), context])
}

/** A label of 14 bytes, then what tells one frame from all others. */
function contextBytes(label: string, session: Id64, imageId: string, slice: number, lengthBytes: number): Buffer {
  const numbers = Buffer.alloc(8)
  numbers.writeUInt32BE(slice, 0)
  numbers.writeUInt32BE(lengthBytes, 4)
  return Buffer.concat([Buffer.from(label), sessionBytes(session), numbers, Buffer.from(imageId)])
}
