import { createHmac, sign, timingSafeEqual, verify, type KeyObject } from 'node:crypto'
import { CONTROL_TAG_BYTES } from '../protocol/index.ts'

/** Keeps signatures of control messages apart from those of frames. */
const SIGNATURE_LABEL = Buffer.from('skilfish message')

/** HMAC-SHA-256 (RFC 2104), cut to 16 bytes. */
export const tagOf = (key: KeyObject, bytes: Uint8Array): Uint8Array =>
  createHmac('sha256', key).update(bytes).digest().subarray(0, CONTROL_TAG_BYTES)

export const hasTag = (key: KeyObject, bytes: Uint8Array, tag: Uint8Array): boolean =>
  timingSafeEqual(tagOf(key, bytes), tag)

export const signatureOf = (key: KeyObject, bytes: Uint8Array): Uint8Array =>
  sign(null, Buffer.concat([SIGNATURE_LABEL, bytes]), key)

export const hasSignature = (key: KeyObject, bytes: Uint8Array, signature: Uint8Array): boolean =>
  verify(null, Buffer.concat([SIGNATURE_LABEL, bytes]), key, signature)
