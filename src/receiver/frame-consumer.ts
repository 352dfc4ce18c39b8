import * as zlib from 'node:zlib'
import { SkilfishError } from '../errors.ts'
import { Lzo1x } from '../lzo/index.ts'
import {
  Codec,
  decodeFrame,
  DIGEST_COVERS_FROM,
  DIGEST_OFFSET,
  FRAME_HEADER_BYTES,
  RootDigest,
  type DigestKind,
  type End,
  type FrameHeader,
  type Geometry,
} from '../protocol/index.ts'
import { sha256, sliceDigest } from '../digest.ts'
import type { ImageSink } from '../sparse/index.ts'
import type { JournalTotals } from './journal-format.ts'
import type { WrittenSlice } from './journal.ts'

type ZstdDecompress = (bytes: Uint8Array, options: { maxOutputLength: number }) => Uint8Array

/** Node.js 22.15 and newer have zstd; the types that this project builds against are older. */
const zstd = zlib as unknown as { readonly zstdDecompressSync?: ZstdDecompress }

/** Codecs that this program can undo. */
export const decodableCodecs = (): Codec[] =>
  zstd.zstdDecompressSync === undefined ? [Codec.none, Codec.lzo] : [Codec.none, Codec.lzo, Codec.zstd]

/**
 * Turns frames back into image bytes: checks, decompresses, verifies the digest, and only then writes. Several slices may be
 * under way; each holds one plain buffer while it is written.
 */
export class FrameConsumer {
  readonly #sink: ImageSink
  readonly sliceBytes: number
  readonly #imageBytes: number
  readonly #root: RootDigest
  readonly digestKind: DigestKind
  readonly #onWritten: ((written: WrittenSlice) => void) | undefined
  readonly #onFailed: (() => void) | undefined
  readonly #free: Uint8Array[] = []
  #lzo: Lzo1x | undefined
  /** A sequential sink gets one slice after the other. */
  #queue: Promise<unknown> = Promise.resolve()
  readonly #resumedBytes: number
  #coveredBytes: number
  #spansEnd: number
  #zeroRunCount: number
  #underWay = 0
  #idle: (() => void) | undefined

  /**
   * @param options.sink is open
   * @param options.imageBytes size of the image, where it was announced: frames that go beyond it are rejected
   * @param options.restored what an earlier run has written; its `root` is this consumer's from now on
   * @param options.onWritten is called for each slice that was written, not yet flushed
   * @param options.onFailed is called when the sink has failed to write a slice, before `consume` rejects
   */
  constructor(options: {
    readonly sink: ImageSink
    readonly geometry: Geometry
    readonly digestKind: DigestKind
    readonly imageBytes?: number | undefined
    readonly restored?: { readonly root: RootDigest; readonly totals: JournalTotals } | undefined
    readonly onWritten?: (written: WrittenSlice) => void
    readonly onFailed?: () => void
  }) {
    const { restored } = options
    this.#sink = options.sink
    this.sliceBytes = options.geometry.sliceBytes
    this.#imageBytes = options.imageBytes ?? Number.MAX_SAFE_INTEGER
    this.digestKind = options.digestKind
    this.#root = restored?.root ?? new RootDigest(sha256)
    this.#resumedBytes = this.#coveredBytes = restored?.totals.coveredBytes ?? 0
    this.#spansEnd = restored?.totals.spansEnd ?? 0
    this.#zeroRunCount = restored?.totals.zeroRunCount ?? 0
    this.#onWritten = options.onWritten
    this.#onFailed = options.onFailed
  }

  /** Image bytes in the spans of all slices written, holes included. */
  get coveredBytes(): number {
    return this.#coveredBytes
  }

  /** Those of them that an earlier run has written. */
  get resumedBytes(): number {
    return this.#resumedBytes
  }

  /** Runs of zeros in all slices written: with none, the image alone determines the slices. */
  get zeroRunCount(): number {
    return this.#zeroRunCount
  }

  /**
   * Writes a slice. Each slice once, as far as it settles.
   * @param frame the caller's again when the promise settles
   * @returns `rejected` when the frame is not what its digest says or goes beyond the image, `early` when the sink is sequential and
   *   the slice before is not written: nothing of it was written
   * @throws SkilfishError of the sink
   */
  async consume(sliceIndex: number, frame: Uint8Array): Promise<'settled' | 'rejected' | 'early'> {
    const header = decodeFrame(frame, this.sliceBytes)
    if (typeof header === 'string' || spanEnd(header) > this.#imageBytes) return 'rejected'
    const buffer = header.codec === Codec.lzo ? (this.#free.pop() ?? new Uint8Array(this.sliceBytes)) : undefined
    this.#underWay++
    try {
      const plain = this.#decompress(header, frame, buffer)
      if (plain === undefined || !this.#isGenuine(header, frame, plain)) return 'rejected'
      if (!(await this.#writeInTurn(header, plain))) return 'early'
      this.#root.add(sliceIndex, header.digest)
      const zeroRunCount = header.runs.filter(({ isZero }) => isZero).length
      this.#zeroRunCount += zeroRunCount
      const [end, endOfData] = [spanEnd(header), dataEnd(header)]
      this.#onWritten?.({ slice: sliceIndex, ...header, spanEnd: end, dataEnd: endOfData, zeroRunCount })
      return 'settled'
    } finally {
      if (buffer !== undefined) this.#free.push(buffer)
      if (--this.#underWay === 0) this.#idle?.()
    }
  }

  /**
   * All slices are written: checks the whole image against the sender's root digest, fills the tail, and has the target flushed
   * and marked complete.
   * @param blind what the sender makes of the root digest before it tells it
   * @returns the root digest
   * @throws SkilfishError DIGEST_MISMATCH, and those of the sink
   */
  async finish(end: End, blind = (plain: Uint8Array): Uint8Array => plain): Promise<Uint8Array> {
    const action = `cannot complete ${this.#sink.label}`
    if (end.imageBytes < this.#spansEnd) {
      const text = `${action}: its data reaches to byte ${this.#spansEnd}, the sender's image to ${end.imageBytes}`
      throw new SkilfishError('DIGEST_MISMATCH', text)
    }
    const digest = this.#root.finish(end.imageBytes, end.sliceCount)
    const told = blind(digest)
    if (Buffer.compare(told, end.rootDigest) !== 0) {
      const [got, wanted] = [told, end.rootDigest].map((bytes) => Buffer.from(bytes).toString('hex'))
      throw new SkilfishError('DIGEST_MISMATCH', `${action}: its root digest is ${got}, the sender's ${wanted}`)
    }
    if (end.imageBytes > this.#spansEnd) await this.#sink.zero(this.#spansEnd, end.imageBytes - this.#spansEnd)
    await this.#sink.finish(end.imageBytes)
    return digest
  }

  /** Resolves when no write is under way any more. */
  async close(): Promise<void> {
    if (this.#underWay === 0) return
    await new Promise<void>((resolve) => (this.#idle = resolve))
  }

  #isGenuine(header: FrameHeader, frame: Uint8Array, plain: Uint8Array): boolean {
    const head = frame.subarray(DIGEST_COVERS_FROM, DIGEST_OFFSET)
    const runs = frame.subarray(FRAME_HEADER_BYTES, header.payloadOffset)
    return Buffer.compare(sliceDigest[this.digestKind](head, runs, plain), header.digest) === 0
  }

  /** @param buffer for LZO: `sliceBytes` */
  #decompress(header: FrameHeader, frame: Uint8Array, buffer: Uint8Array | undefined): Uint8Array | undefined {
    const payload = frame.subarray(header.payloadOffset)
    if (header.codec === Codec.none) return payload
    if (buffer !== undefined) {
      const plain = buffer.subarray(0, header.plainBytes)
      this.#lzo ??= new Lzo1x()
      return this.#lzo.decompressInto(payload, plain) === undefined ? plain : undefined
    }
    try {
      const unpacked = zstd.zstdDecompressSync?.(payload, { maxOutputLength: header.plainBytes })
      return unpacked?.length === header.plainBytes ? unpacked : undefined
    } catch {
      // Foreign bytes that are no zstd, or hold more than they say: the slice is asked for again.
      return undefined
    }
  }

  /** @returns false when the sink is sequential and the slice does not follow what was written */
  async #writeInTurn(header: FrameHeader, plain: Uint8Array): Promise<boolean> {
    if (!this.#sink.isSequential) {
      await this.#write(header, plain)
      return true
    }
    const turn = this.#queue.then(async () => {
      if (header.spanStart !== this.#spansEnd) return false
      await this.#write(header, plain)
      return true
    })
    // What waits behind a write that fails has failed too.
    this.#queue = turn
    return turn
  }

  async #write(header: FrameHeader, plain: Uint8Array): Promise<void> {
    const end = spanEnd(header)
    try {
      await this.#writeSpan(header, end, plain)
    } catch (error) {
      this.#onFailed?.()
      throw error
    }
    this.#coveredBytes += end - header.spanStart
    this.#spansEnd = Math.max(this.#spansEnd, end)
  }

  async #writeSpan(header: FrameHeader, end: number, plain: Uint8Array): Promise<void> {
    let at = header.spanStart
    let from = 0
    for (const { offset, lengthBytes, isZero } of header.runs) {
      // Zeros are made zero together with the holes around them.
      if (isZero) continue
      if (offset > at) await this.#sink.zero(at, offset - at)
      await this.#sink.write(offset, plain.subarray(from, (from += lengthBytes)))
      at = offset + lengthBytes
    }
    if (end > at) await this.#sink.zero(at, end - at)
  }
}

function spanEnd({ spanStart, runs }: FrameHeader): number {
  const last = runs.at(-1)
  return last === undefined ? spanStart : last.offset + last.lengthBytes
}

function dataEnd({ runs }: FrameHeader): number {
  const last = runs.findLast(({ isZero }) => !isZero)
  return last === undefined ? 0 : last.offset + last.lengthBytes
}
