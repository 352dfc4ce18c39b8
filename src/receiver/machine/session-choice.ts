import type { ErrorCode } from '../../errors.ts'
import {
  announcedGeometry,
  CODEC_NAMES,
  isCodec,
  type AbortReason,
  type Announce,
  type End,
  type Geometry,
  type TrustMode,
} from '../../protocol/index.ts'

/** Why a receiver fails. */
export interface Failure {
  readonly code: ErrorCode
  readonly text: string
}

/** The geometry of an announced session, or why this receiver cannot take part in it. */
export function judgeAnnounce(announce: Announce, mode: TrustMode, codecs: readonly number[]): Geometry | Failure {
  const { codec, sliceBytes, packetBytes } = announce
  const geometry = announcedGeometry(sliceBytes, packetBytes, mode.isKeyed)
  if (geometry === undefined) {
    const text = `the session has slices of ${sliceBytes} bytes and packets of ${packetBytes} bytes, beyond what this version takes`
    return { code: 'SESSION_UNSUITABLE', text }
  }
  if (!codecs.includes(codec)) {
    const text = `the session is compressed with ${nameOf(codec)}, this program undoes ${codecs.map(nameOf).join(' and ')}`
    return { code: 'CODEC_REFUSED', text }
  }
  return geometry
}

const nameOf = (codec: number): string => (isCodec(codec) ? CODEC_NAMES[codec] : `codec ${codec}`)

/** True when a sender that began again sends the same slices as the one before: same image, cut and packed the same way. */
export const isSameImage = (a: Announce, b: Announce): boolean =>
  a.imageId === b.imageId &&
  a.sliceBytes === b.sliceBytes &&
  a.packetBytes === b.packetBytes &&
  a.codec === b.codec &&
  (a.imageBytes === undefined || b.imageBytes === undefined || a.imageBytes === b.imageBytes)

/** What the closing End means to a receiver that has not settled everything. */
export const closingFailure = (settledCount: number, { sliceCount }: End): Failure => ({
  code: 'SENDER_LOST',
  text: `the sender ended the session, ${sliceCount - settledCount} of ${sliceCount} slices are missing here`,
})

const ABORT_CODES: Readonly<Record<AbortReason, ErrorCode>> = {
  'sender-failed': 'SENDER_ABORTED',
  interrupted: 'SENDER_ABORTED',
  'too-slow': 'RECEIVER_DROPPED',
  'too-many-receivers': 'RECEIVER_DROPPED',
  'data-gone': 'DATA_GONE',
}

/** What an Abort means to the receiver whom it is for. */
export const abortFailure = (reason: AbortReason, text: string): Failure => ({
  code: ABORT_CODES[reason],
  text: `the sender ended the transfer: ${text || reason}`,
})
