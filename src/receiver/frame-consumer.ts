import { createHash } from 'node:crypto'
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
  type End,
  type FrameHeader,
  type Geometry,
} from '../protocol/index.ts'
import type { ImageSink } from '../sparse/index.ts'

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
  readonly #sliceBytes: number
  readonly #root = new RootDigest(sha256)
  readonly #free: Uint8Array[] = []
  #lzo: Lzo1x | undefined
  /** A sequential sink gets one slice after the other. */
  #queue: Promise<void> = Promise.resolve()
  #coveredBytes = 0
  #spansEnd = 0
  #underWay = 0
  #idle: (() => void) | undefined

  constructor(options: { readonly sink: ImageSink; readonly geometry: Geometry }) {
    this.#sink = options.sink
    this.#sliceBytes = options.geometry.sliceBytes
  }

  /** Image bytes in the spans of all slices written, holes included. */
  get coveredBytes(): number {
    return this.#coveredBytes
  }

  /**
   * Writes a slice.
   * @param frame the caller's again when the promise settles
   * @returns `rejected` when the frame is not what its digest says: nothing of it was written
   * @throws SkilfishError of the sink
   */
  async consume(sliceIndex: number, frame: Uint8Array): Promise<'settled' | 'rejected'> {
    const header = decodeFrame(frame, this.#sliceBytes)
    if (typeof header === 'string') return 'rejected'
    const buffer = header.codec === Codec.none ? undefined : (this.#free.pop() ?? new Uint8Array(this.#sliceBytes))
    this.#underWay++
    try {
      const plain = this.#decompress(header, frame, buffer)
      if (plain === undefined || !isGenuine(header, frame, plain)) return 'rejected'
      if (this.#sink.isSequential) {
        const turn = this.#queue.then(() => this.#write(header, plain))
        this.#queue = turn.catch(() => undefined)
        await turn
      } else {
        await this.#write(header, plain)
      }
      this.#root.add(sliceIndex, header.digest)
      return 'settled'
    } finally {
      if (buffer !== undefined) this.#free.push(buffer)
      if (--this.#underWay === 0) this.#idle?.()
    }
  }

  /**
   * All slices are written: checks the whole image against the sender's root digest, fills the tail, and has the target flushed
   * and marked complete.
   * @returns the root digest
   * @throws SkilfishError DIGEST_MISMATCH, and those of the sink
   */
  async finish(end: End): Promise<Uint8Array> {
    const digest = this.#root.finish(end.imageBytes, end.sliceCount)
    if (Buffer.compare(digest, end.rootDigest) !== 0) {
      const [got, wanted] = [digest, end.rootDigest].map((bytes) => Buffer.from(bytes).toString('hex'))
      throw new SkilfishError('DIGEST_MISMATCH', `the image's digest is ${got}, the sender's ${wanted}`)
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

  #decompress(header: FrameHeader, frame: Uint8Array, buffer: Uint8Array | undefined): Uint8Array | undefined {
    const payload = frame.subarray(header.payloadOffset)
    if (buffer === undefined) return payload
    const plain = buffer.subarray(0, header.plainBytes)
    if (header.codec === Codec.lzo) {
      this.#lzo ??= new Lzo1x()
      return this.#lzo.decompressInto(payload, plain) === undefined ? plain : undefined
    }
    try {
      const unpacked = zstd.zstdDecompressSync!(payload, { maxOutputLength: header.plainBytes })
      return unpacked.length === header.plainBytes ? unpacked : undefined
    } catch {
      // Foreign bytes that are no zstd, or hold more than they say: the slice is asked for again.
      return undefined
    }
  }

  async #write(header: FrameHeader, plain: Uint8Array): Promise<void> {
    let at = header.spanStart
    let from = 0
    for (const { offset, lengthBytes, isZero } of header.runs) {
      if (offset > at) await this.#sink.zero(at, offset - at)
      if (isZero) await this.#sink.zero(offset, lengthBytes)
      else await this.#sink.write(offset, plain.subarray(from, (from += lengthBytes)))
      at = offset + lengthBytes
    }
    this.#coveredBytes += at - header.spanStart
    this.#spansEnd = Math.max(this.#spansEnd, at)
  }
}

function isGenuine(header: FrameHeader, frame: Uint8Array, plain: Uint8Array): boolean {
  const digest = createHash('sha256')
    .update(frame.subarray(DIGEST_COVERS_FROM, DIGEST_OFFSET))
    .update(frame.subarray(FRAME_HEADER_BYTES, header.payloadOffset))
    .update(plain)
    .digest()
  return digest.equals(header.digest)
}

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}
