import { MAX_SLICE_BYTES, MIN_SLICE_BYTES, type DigestKind } from '../protocol/index.ts'
import { sha256 } from '../digest.ts'

/** What a copy of an image can be checked with: its root digest, and what that depends on beside the image's bytes. */
export interface Fingerprint {
  /** 32 bytes. */
  readonly rootDigest: Uint8Array
  readonly imageBytes: number
  readonly sliceBytes: number
  readonly digestKind: DigestKind
}

/** Hexadecimal digits that tell a mistyped fingerprint from one of another image. */
const CHECK_DIGITS = 8

const check = (text: string): string =>
  Buffer.from(sha256(new TextEncoder().encode(`skilfish fingerprint ${text}`)))
    .toString('hex')
    .slice(0, CHECK_DIGITS)

/**
 * As text of one word: how the slices' digests are made, the root digest (64 hexadecimal digits), image bytes, slice bytes, and 8 digits
 * that check all of it.
 */
export function formatFingerprint({ digestKind, rootDigest, imageBytes, sliceBytes }: Fingerprint): string {
  const text = `${digestKind}:${Buffer.from(rootDigest).toString('hex')}:${imageBytes}:${sliceBytes}`
  return `${text}:${check(text)}`
}

/** @returns undefined for what {@link formatFingerprint} has not made */
export function parseFingerprint(text: string): Fingerprint | undefined {
  const match = /^((sha256|gmac):([0-9a-f]{64}):(\d{1,16}):(\d{1,7})):([0-9a-f]{8})$/.exec(text.trim())
  if (match === null || match[6] !== check(match[1]!)) return undefined
  const [imageBytes, sliceBytes] = [Number(match[4]), Number(match[5])]
  const isSlice = sliceBytes >= MIN_SLICE_BYTES && sliceBytes <= MAX_SLICE_BYTES && sliceBytes % 4096 === 0
  if (!isSlice || !Number.isSafeInteger(imageBytes)) return undefined
  const rootDigest = Uint8Array.from(Buffer.from(match[3]!, 'hex'))
  return { digestKind: match[2] as DigestKind, rootDigest, imageBytes, sliceBytes }
}
