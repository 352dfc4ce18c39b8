import { createHash } from 'node:crypto'
import * as zlib from 'node:zlib'
import { SkilfishError } from '../errors.ts'
import type { Spool } from '../io/index.ts'
import { Lzo1x } from '../lzo/index.ts'
import {
  Codec,
  DIGEST_COVERS_FROM,
  DIGEST_OFFSET,
  encodeFrameHeadInto,
  FRAME_HEADER_BYTES,
  frameHeadBytes,
  maxFrameBytes,
  MAX_SLICE_COUNT,
  maxRunCount,
  RootDigest,
  type Geometry,
} from '../protocol/index.ts'
import { isRandomAccess, RandomAccessSlicer, StreamSlicer, type ImageSource, type Slice } from '../sparse/index.ts'

/** Frame buffers kept for reuse; the machine's window holds the rest. Bounds idle memory to about 4 MiB. */
const MAX_FREE_BUFFERS = 16

/** zstd's fastest level with its usual ratio. (Level -1 is silently taken for the default, 3.) */
const ZSTD_LEVEL = 1

const FIRST_CAPACITY = 1024

type ZstdCompress = (bytes: Uint8Array, options: { params: Record<number, number> }) => Uint8Array

/** Node.js 22.15 and newer have zstd; the types that this project builds against are older. */
const zstd = zlib as unknown as {
  readonly zstdCompressSync?: ZstdCompress
  readonly constants: { readonly ZSTD_c_compressionLevel?: number }
}

/** Whether this Node.js can compress with zstd. */
export const canCompressZstd = (): boolean => zstd.zstdCompressSync !== undefined

export interface FrameProducerOptions {
  readonly source: ImageSource
  readonly geometry: Geometry
  readonly codec: Codec
  /** Keeps the frames of a source that cannot be read again. */
  readonly spool?: Spool
}

/** What was produced, once {@link FrameProducer.finish} has been called; until then what is known so far. */
export interface ProducerTotals {
  readonly sliceCount: number
  readonly imageBytes: number
  /** Plain bytes of all slices. */
  readonly dataBytes: number
  /** Bytes of all frames. */
  readonly frameBytes: number
  readonly rootDigest: Uint8Array
}

/**
 * Makes the frames of an image: reads, digests, compresses. Asked for one at a time; nothing runs ahead.
 *
 * Memory a slice: 12 bytes (where it starts, and four bytes of its digest to notice that the source has changed).
 */
export class FrameProducer {
  readonly #options: FrameProducerOptions
  readonly #random: RandomAccessSlicer | undefined
  readonly #stream: StreamSlicer | undefined
  readonly #lzo: Lzo1x | undefined
  readonly #root = new RootDigest(sha256)
  /** Plain data is read behind room for the longest head, so that a raw frame needs no copy. */
  readonly #headRoom: number
  #work: Uint8Array | undefined
  readonly #free: Uint8Array[] = []
  #starts = new Float64Array(FIRST_CAPACITY)
  #digests = new Uint32Array(FIRST_CAPACITY)
  #count = 0
  #position = 0
  #dataBytes = 0
  #frameBytes = 0
  #rootDigest: Uint8Array = new Uint8Array(0)

  constructor(options: FrameProducerOptions) {
    const { source, geometry, codec } = options
    this.#options = options
    if (isRandomAccess(source)) this.#random = new RandomAccessSlicer(source, geometry.sliceBytes)
    else this.#stream = new StreamSlicer(source, geometry.sliceBytes)
    if (codec === Codec.lzo) this.#lzo = new Lzo1x()
    this.#headRoom = frameHeadBytes(maxRunCount(geometry.sliceBytes))
  }

  /** Whether {@link again} works. */
  get canReread(): boolean {
    return this.#random !== undefined || this.#options.spool !== undefined
  }

  /** Size of the image, where it is known by now. */
  get imageBytes(): number | undefined {
    return this.#stream === undefined ? this.#options.source.sizeBytes : this.#stream.imageBytes
  }

  /** Image offset behind the last slice made. */
  get positionBytes(): number {
    return this.#position
  }

  get totals(): ProducerTotals {
    return {
      ...{ sliceCount: this.#count, imageBytes: this.imageBytes ?? this.#position, dataBytes: this.#dataBytes },
      ...{ frameBytes: this.#frameBytes, rootDigest: this.#rootDigest },
    }
  }

  /** Image offset where that slice begins, or where the next one will. */
  startOf(sliceIndex: number): number {
    return sliceIndex < this.#count ? this.#starts[sliceIndex]! : this.#position
  }

  /**
   * Makes the next frame; undefined when the image holds no further data.
   * The buffer is the caller's until {@link release}.
   * @throws SkilfishError of the source or the spool
   */
  async next(): Promise<{ readonly slice: number; readonly frame: Uint8Array } | undefined> {
    const work = this.#takeWork()
    const into = work.subarray(this.#headRoom)
    const slice = await (this.#random?.read(this.#position, into) ?? this.#stream!.read(into))
    if (slice === undefined) return undefined
    if (this.#count === MAX_SLICE_COUNT) {
      const text = `cannot send ${this.#options.source.label}: it has more than ${MAX_SLICE_COUNT} slices of data; use a larger slice size`
      throw new SkilfishError('SOURCE_UNSUPPORTED', text)
    }
    const frame = this.#encode(slice, work)
    const index = this.#count++
    this.#reach(index)
    this.#starts[index] = slice.spanStart
    this.#digests[index] = digestWord(frame)
    this.#root.add(index, frame.subarray(DIGEST_OFFSET, FRAME_HEADER_BYTES))
    this.#position = slice.spanEnd
    this.#dataBytes += slice.plainBytes
    this.#frameBytes += frame.length
    await this.#options.spool?.append(index, frame)
    return { slice: index, frame }
  }

  /**
   * Makes a frame again, from the source or the spool. The buffer is the caller's until {@link release}.
   * @throws SkilfishError SOURCE_CHANGED when the slice is no longer what it was
   */
  async again(sliceIndex: number): Promise<Uint8Array> {
    const { spool, source } = this.#options
    if (spool !== undefined) return spool.read(sliceIndex, this.#free.pop() ?? this.#buffer())
    const work = this.#takeWork()
    const slice = await this.#random!.read(this.#starts[sliceIndex]!, work.subarray(this.#headRoom))
    const frame = slice && this.#encode(slice, work)
    if (frame === undefined || digestWord(frame) !== this.#digests[sliceIndex]) {
      throw new SkilfishError('SOURCE_CHANGED', `${source.label} changed while it was being sent`)
    }
    return frame
  }

  /** All frames are made: closes the books and checks that the source is still what it was. */
  async finish(): Promise<ProducerTotals> {
    const { source } = this.#options
    if (isRandomAccess(source)) await source.verifyUnchanged?.()
    this.#rootDigest = this.#root.finish(this.imageBytes ?? this.#position, this.#count)
    return this.totals
  }

  /** Takes a frame's buffer back. */
  release(frame: Uint8Array): void {
    if (this.#free.length < MAX_FREE_BUFFERS) this.#free.push(new Uint8Array(frame.buffer))
  }

  /** Ends the reading of a stream. */
  async close(): Promise<void> {
    await this.#stream?.close()
  }

  /** The buffer to read into: at hand until a raw frame takes it away. */
  #takeWork(): Uint8Array {
    return (this.#work ??= this.#free.pop() ?? this.#buffer())
  }

  #buffer(): Uint8Array {
    return new Uint8Array(
      Math.max(maxFrameBytes(this.#options.geometry.sliceBytes), this.#headRoom + this.#options.geometry.sliceBytes),
    )
  }

  /** Encodes a slice whose plain data lies in `work` behind the head room. */
  #encode(slice: Slice, work: Uint8Array): Uint8Array {
    const headBytes = frameHeadBytes(slice.runs.length)
    const plain = work.subarray(this.#headRoom, this.#headRoom + slice.plainBytes)
    const target = this.#options.codec === Codec.none ? undefined : (this.#free.pop() ?? this.#buffer())
    const payloadBytes = target && this.#compressInto(plain, target.subarray(headBytes))
    let frame: Uint8Array
    if (target !== undefined && payloadBytes !== undefined) {
      frame = target.subarray(0, headBytes + payloadBytes)
      encodeFrameHeadInto(frame, { ...slice, codec: this.#options.codec })
    } else {
      if (target !== undefined) this.#free.push(target)
      frame = work.subarray(this.#headRoom - headBytes, this.#headRoom + slice.plainBytes)
      encodeFrameHeadInto(frame, { ...slice, codec: Codec.none })
      this.#work = undefined
    }
    const digest = createHash('sha256')
      .update(frame.subarray(DIGEST_COVERS_FROM, DIGEST_OFFSET))
      .update(frame.subarray(FRAME_HEADER_BYTES, headBytes))
      .update(plain)
      .digest()
    frame.set(digest, DIGEST_OFFSET)
    return frame
  }

  /** @returns bytes of the payload, or undefined when it did not shrink */
  #compressInto(plain: Uint8Array, into: Uint8Array): number | undefined {
    if (this.#lzo !== undefined) return this.#lzo.compressInto(plain, into)
    const params = { [zstd.constants.ZSTD_c_compressionLevel ?? 100]: ZSTD_LEVEL }
    const packed = zstd.zstdCompressSync!(plain, { params })
    if (packed.length >= plain.length) return undefined
    into.set(packed)
    return packed.length
  }

  #reach(index: number): void {
    if (index < this.#starts.length) return
    const starts = new Float64Array(this.#starts.length * 2)
    starts.set(this.#starts)
    this.#starts = starts
    const digests = new Uint32Array(this.#digests.length * 2)
    digests.set(this.#digests)
    this.#digests = digests
  }
}

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/** The first four bytes of a frame's digest. */
const digestWord = (frame: Uint8Array): number =>
  ((frame[DIGEST_OFFSET]! << 24) |
    (frame[DIGEST_OFFSET + 1]! << 16) |
    (frame[DIGEST_OFFSET + 2]! << 8) |
    frame[DIGEST_OFFSET + 3]!) >>>
  0
