import { DIGEST_BYTES, isDigestKind, MAX_SLICE_COUNT, type DigestKind } from '../protocol/index.ts'
import { sha256 } from '../digest.ts'

/**
 * The journal of a target that is being written: which slices are on stable storage.
 *
 *     19  "SKILFISH JOURNAL 1\n"
 *      …  records, back to back
 *
 * A record (big-endian):
 *
 *      0   4  n, length of the content
 *      4   n  content: of the first record a JSON text, the header; of all others slices
 *    4+n  16  start of the SHA-256 over the sum before (for the first: 16 zeros), the length, and the content
 *
 * Slices:
 *
 *      0   8  image bytes in the spans of all slices so far, holes included
 *      8   8  where the last span ends
 *     16   8  where the last run of data ends
 *     24   8  how many runs of zeros there were
 *     32  36m slice index (4) and digest (32), m times
 *
 * The sums are chained, so that no record counts without all that came before it. 36 bytes a slice: of an image of 1 TiB that is
 * all data, at the default slice size, 144 MiB.
 */
export const JOURNAL_MAGIC: Uint8Array = new TextEncoder().encode('SKILFISH JOURNAL 1\n')

export const SUM_BYTES = 16
const LENGTH_BYTES = 4
const TOTALS_BYTES = 32
const ENTRY_BYTES = 4 + DIGEST_BYTES

/** Slices of a record at most: more take another. Bounds what is read at once, and what a power cut can tear, to 64 KiB. */
export const MAX_RECORD_SLICES = 1800

/** Longest record, sum included. */
export const MAX_RECORD_BYTES: number = LENGTH_BYTES + TOTALS_BYTES + MAX_RECORD_SLICES * ENTRY_BYTES + SUM_BYTES

/** What a journal is of. */
export interface JournalHeader {
  readonly imageId: string
  readonly imageName: string
  /** Left out where only the end of the stream tells it. */
  readonly imageBytes?: number
  /** With the image id it determines the slices; packet size and codec do not. */
  readonly sliceBytes: number
  readonly digestKind: DigestKind
  /** See `ResumableSink.mark`. */
  readonly mark: string
}

/** What the slices of a journal come to. */
export interface JournalTotals {
  /** Image bytes in their spans, holes included. */
  readonly coveredBytes: number
  /** End of the last span. */
  readonly spansEnd: number
  /** End of the last run of data. */
  readonly dataEnd: number
  /** Runs of zeros, which the image itself does not tell from holes. */
  readonly zeroRunCount: number
}

export const NO_TOTALS: JournalTotals = { coveredBytes: 0, spansEnd: 0, dataEnd: 0, zeroRunCount: 0 }

/** A slice as the journal has it. `digest`: 32 bytes. */
export interface JournalEntry {
  readonly slice: number
  readonly digest: Uint8Array
}

export const encodeHeader = (header: JournalHeader): Uint8Array => new TextEncoder().encode(JSON.stringify(header))

/** @returns undefined for what is no header, of this version or any */
export function decodeHeader(content: Uint8Array): JournalHeader | undefined {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(content))
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { imageId, imageName, imageBytes, sliceBytes, digestKind, mark } = value as Record<string, unknown>
  if (typeof imageId !== 'string' || typeof imageName !== 'string' || typeof mark !== 'string') return undefined
  if (!isDigestKind(digestKind) || !isSize(sliceBytes) || (imageBytes !== undefined && !isSize(imageBytes)))
    return undefined
  return { imageId, imageName, sliceBytes, digestKind, mark, ...(imageBytes === undefined ? {} : { imageBytes }) }
}

/** @param entries up to {@link MAX_RECORD_SLICES} */
export function encodeSlices(entries: readonly JournalEntry[], totals: JournalTotals): Uint8Array {
  const content = Buffer.alloc(TOTALS_BYTES + entries.length * ENTRY_BYTES)
  content.writeBigUInt64BE(BigInt(totals.coveredBytes), 0)
  content.writeBigUInt64BE(BigInt(totals.spansEnd), 8)
  content.writeBigUInt64BE(BigInt(totals.dataEnd), 16)
  content.writeBigUInt64BE(BigInt(totals.zeroRunCount), 24)
  entries.forEach(({ slice, digest }, index) => {
    content.writeUInt32BE(slice, TOTALS_BYTES + index * ENTRY_BYTES)
    content.set(digest, TOTALS_BYTES + index * ENTRY_BYTES + 4)
  })
  return content
}

/** @returns undefined for what is no list of slices; digests are views of `content` */
export function decodeSlices(
  content: Uint8Array,
): { readonly entries: readonly JournalEntry[]; readonly totals: JournalTotals } | undefined {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength)
  if (bytes.length < TOTALS_BYTES || (bytes.length - TOTALS_BYTES) % ENTRY_BYTES !== 0) return undefined
  const [coveredBytes, spansEnd, dataEnd, zeroRunCount] = [0, 8, 16, 24].map((at) => Number(bytes.readBigUInt64BE(at)))
  if (!isSize(coveredBytes) || !isSize(spansEnd) || !isSize(dataEnd) || !isSize(zeroRunCount)) return undefined
  const entries: JournalEntry[] = []
  for (let at = TOTALS_BYTES; at < bytes.length; at += ENTRY_BYTES) {
    const slice = bytes.readUInt32BE(at)
    if (slice >= MAX_SLICE_COUNT) return undefined
    entries.push({ slice, digest: bytes.subarray(at + 4, at + ENTRY_BYTES) })
  }
  return { entries, totals: { coveredBytes, spansEnd, dataEnd, zeroRunCount } }
}

/** @param sumBefore of the record before; {@link SUM_BYTES} zeros for the first. The record ends with its own sum. */
export function encodeRecord(sumBefore: Uint8Array, content: Uint8Array): Uint8Array {
  const record = Buffer.alloc(LENGTH_BYTES + content.length + SUM_BYTES)
  record.writeUInt32BE(content.length, 0)
  record.set(content, LENGTH_BYTES)
  const end = LENGTH_BYTES + content.length
  record.set(sha256(sumBefore, record.subarray(0, end)).subarray(0, SUM_BYTES), end)
  return record
}

/**
 * Reads the record at the start of `bytes`, which hold up to {@link MAX_RECORD_BYTES}, and all that is left at the end of the file.
 * @returns views of `bytes`, or `torn` for what a write that did not come to its end leaves behind as the last thing of a file
 *   (a record cut short, or one whose content did not all reach the disk), or `bad` for what is damaged, or is nothing but
 *   zeros to the end of the file, which is for the caller to see
 */
export function decodeRecord(
  sumBefore: Uint8Array,
  bytes: Uint8Array,
): { readonly content: Uint8Array; readonly sum: Uint8Array; readonly recordBytes: number } | 'torn' | 'bad' {
  if (bytes.length < LENGTH_BYTES) return 'torn'
  const contentBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  const end = LENGTH_BYTES + contentBytes
  const recordBytes = end + SUM_BYTES
  if (recordBytes > bytes.length) {
    return recordBytes <= MAX_RECORD_BYTES ? 'torn' : 'bad'
  }
  const sum = bytes.subarray(end, recordBytes)
  const wanted = sha256(sumBefore, bytes.subarray(0, end)).subarray(0, SUM_BYTES)
  if (Buffer.compare(sum, wanted) === 0) return { content: bytes.subarray(LENGTH_BYTES, end), sum, recordBytes }
  return recordBytes === bytes.length ? 'torn' : 'bad'
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
