import { clipText } from '../protocol/index.ts'

/**
 * What the two ends of a probe say. Each packet begins with 16 bytes that no session takes for its own: `SKPROBE1`, then 8 hexadecimal
 * digits that tell one probe from another. The word of either end follows as JSON; a packet whose 17th byte is a zero is filler.
 */
const MAGIC = 'SKPROBE1'
const ID_DIGITS = 8
const HEAD_BYTES = MAGIC.length + ID_DIGITS

/** A word is no longer than the smallest MTU carries; what comes longer is none. */
const MAX_WORD_BYTES = 512

/** What filler is for: to find the longest packet that arrives, or to count what is lost. */
export type FillerPurpose = 'size' | 'stream'
const PURPOSES: readonly FillerPurpose[] = ['size', 'stream']

/** From the prober, to the group. A question is repeated until it is answered; `number` tells which one an answer is to. */
export interface Question {
  readonly kind: 'hello' | 'report' | 'bye'
  readonly number: number
}

/** From a listener, to the prober. */
export interface Answer {
  readonly kind: 'answer'
  readonly number: number
  /** Tells listeners apart. */
  readonly listener: string
  readonly name: string
  /** Length of the longest filler that has come, UDP payload bytes; 0: none. */
  readonly longestBytes: number
  /** Packets of the stream that have come, and packets that found this socket full. */
  readonly streamCount: number
  readonly droppedCount: number
  readonly recvBufferBytes: number
  /** Left out: not measured. */
  readonly diskBytesPerSec?: number
}

export type Word = Question | Answer

/** @param probe 8 hexadecimal digits */
export const encodeWord = (probe: string, word: Word): Uint8Array =>
  new TextEncoder().encode(`${MAGIC}${probe}${JSON.stringify(word)}`)

/** @param lengthBytes UDP payload, at least 18 */
export function encodeFiller(probe: string, purpose: FillerPurpose, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  new TextEncoder().encodeInto(`${MAGIC}${probe}`, bytes)
  bytes[HEAD_BYTES + 1] = PURPOSES.indexOf(purpose)
  return bytes
}

export type ProbePacket = { readonly probe: string } & (
  { readonly word: Word } | { readonly filler: FillerPurpose; readonly lengthBytes: number }
)

/** @returns undefined for what is no packet of a probe, or says what makes no sense */
export function decodePacket(bytes: Uint8Array): ProbePacket | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, HEAD_BYTES)).toString('latin1')
  const probe = head.slice(MAGIC.length)
  if (!head.startsWith(MAGIC) || !/^[0-9a-f]{8}$/.test(probe) || bytes.length < HEAD_BYTES + 2) return undefined
  if (bytes[HEAD_BYTES] === 0) {
    const filler = PURPOSES[bytes[HEAD_BYTES + 1]!]
    return filler && { probe, filler, lengthBytes: bytes.length }
  }
  const word = bytes.length > MAX_WORD_BYTES ? undefined : wordOf(bytes.subarray(HEAD_BYTES))
  return word && { probe, word }
}

function wordOf(bytes: Uint8Array): Word | undefined {
  let value: Record<string, unknown> | null
  try {
    value = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown> | null
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || !isCount(value['number'])) return undefined
  const { kind, number, listener, name, diskBytesPerSec: disk } = value
  if (kind === 'hello' || kind === 'report' || kind === 'bye') return { kind, number }
  const { longestBytes, streamCount, droppedCount, recvBufferBytes } = value
  if (kind !== 'answer' || typeof listener !== 'string' || typeof name !== 'string') return undefined
  // It is shown, and anybody may have said it.
  if (clipText(name) !== name) return undefined
  if (!isCount(longestBytes) || !isCount(streamCount) || !isCount(droppedCount) || !isCount(recvBufferBytes))
    return undefined
  if (disk !== undefined && !isCount(disk)) return undefined
  const counts = { longestBytes, streamCount, droppedCount, recvBufferBytes }
  return { kind, number, listener, name, ...counts, ...(disk === undefined ? {} : { diskBytesPerSec: disk }) }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
