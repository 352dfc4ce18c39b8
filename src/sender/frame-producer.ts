import { SkilfishError } from '../errors.ts'
import type { Spool } from '../io/index.ts'
import {
  Codec,
  DIGEST_OFFSET,
  encodeFrameHeadInto,
  FRAME_HEADER_BYTES,
  frameHeadBytes,
  MAX_SLICE_COUNT,
  maxRunCount,
  RootDigest,
  type Geometry,
} from '../protocol/index.ts'
import { sha256 } from '../digest.ts'
import type { FrameSealer } from '../trust/index.ts'
import type { EncoderPool } from './encoder-pool.ts'
import { isRandomAccess, SliceReader, type ImageSource, type Slice } from '../sparse/index.ts'

/** Frame buffers kept for reuse; the machine's window holds the rest. Bounds idle memory to about 4 MiB. */
const MAX_FREE_BUFFERS = 16

const FIRST_CAPACITY = 1024

export interface FrameProducerOptions {
  readonly source: ImageSource
  readonly geometry: Geometry
  /** Keeps the frames of a source that cannot be read again. */
  readonly spool?: Spool
  /** Signs and encrypts frames. */
  readonly sealer?: FrameSealer | undefined
  /** Digests and compresses; the producer's from now on. */
  readonly encoder: Pick<EncoderPool, 'frameCount' | 'encode' | 'encodeNow' | 'close'>
}

/** A slice that was read, and its frame. */
interface Encoded {
  readonly slice: Slice
  readonly frame: Uint8Array
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
 * Makes the frames of an image: reads, digests, compresses. `next` is called one at a time, `again` at any time. What the encoder
 * can have under way at once is read ahead.
 *
 * Memory a slice: 12 bytes (where it starts, and four bytes of its digest to notice that the source has changed).
 */
export class FrameProducer {
  readonly #options: FrameProducerOptions
  readonly #reader: SliceReader
  readonly #encoder: FrameProducerOptions['encoder']
  readonly #root = new RootDigest(sha256)
  /** Plain data is read behind room for the longest head, and compressed in its place: no byte is copied without need. */
  readonly #headRoom: number
  readonly #free: Uint8Array<ArrayBuffer>[] = []
  #starts = new Float64Array(FIRST_CAPACITY)
  #digests = new Uint32Array(FIRST_CAPACITY)
  #count = 0
  /** Behind the last slice made. */
  #position = 0
  /** What was read ahead, in order. */
  readonly #ahead: Promise<Encoded | undefined>[] = []
  #dataBytes = 0
  #frameBytes = 0
  #rootDigest: Uint8Array = new Uint8Array(0)

  constructor(options: FrameProducerOptions) {
    const { source, geometry, encoder } = options
    this.#options = options
    this.#reader = new SliceReader(source, geometry.sliceBytes)
    this.#encoder = encoder
    this.#headRoom = frameHeadBytes(maxRunCount(geometry.sliceBytes))
  }

  /** Whether {@link again} works. */
  get canReread(): boolean {
    return this.#reader.canReread || this.#options.spool !== undefined
  }

  /** Size of the image, where it is known by now. */
  get imageBytes(): number | undefined {
    return this.#reader.imageBytes
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
   * How much of the image lies before an offset, percent: of its data where the source knows where that is, else of its size;
   * undefined where that is not known either.
   */
  percentBefore(offset: number): number | undefined {
    const { source } = this.#options
    const whole = this.imageBytes
    if (whole === undefined) return undefined
    const measure = (at: number): number => (isRandomAccess(source) ? source.dataBefore?.(at) : undefined) ?? at
    const wholeBytes = measure(whole)
    return wholeBytes === 0 ? 100 : Math.min(100, (100 * measure(offset)) / wholeBytes)
  }

  /** Slices that the image will have if the rest of it is like what was made so far; undefined while that tells nothing. */
  get expectedSliceCount(): number | undefined {
    const percent = this.percentBefore(this.#position) ?? 0
    return percent === 0 ? undefined : Math.min(MAX_SLICE_COUNT, Math.round((100 * this.#count) / percent))
  }

  /**
   * Makes the next frame; undefined when the image holds no further data.
   * The buffer is the caller's until {@link release}.
   * @throws SkilfishError of the source or the spool
   */
  async next(): Promise<{ readonly slice: number; readonly frame: Uint8Array } | undefined> {
    while (this.#ahead.length < this.#encoder.frameCount && !this.#reader.hasEnded) this.#readAhead()
    const made = await this.#ahead.shift()
    if (made === undefined) return undefined
    const { slice, frame } = made
    if (this.#count === MAX_SLICE_COUNT) {
      const text = `cannot send ${this.#options.source.label}: it has more than ${MAX_SLICE_COUNT} slices of data; use a larger slice size`
      throw new SkilfishError('SOURCE_UNSUPPORTED', text)
    }
    const index = this.#count++
    this.#reach(index)
    this.#starts[index] = slice.spanStart
    this.#digests[index] = digestWord(frame)
    this.#root.add(index, frame.subarray(DIGEST_OFFSET, FRAME_HEADER_BYTES))
    this.#position = slice.spanEnd
    this.#dataBytes += slice.plainBytes
    const sealed = this.#seal(index, frame)
    this.#frameBytes += sealed.length
    await this.#options.spool?.append(index, sealed)
    return { slice: index, frame: sealed }
  }

  /**
   * Makes a frame again, byte for byte, from the source or the spool. The buffer is the caller's until {@link release}.
   * @throws RangeError when that slice was not made before; TypeError unless {@link canReread}
   * @throws SkilfishError SOURCE_CHANGED when the slice is no longer what it was, and those of the source or the spool
   */
  async again(sliceIndex: number): Promise<Uint8Array> {
    const { spool } = this.#options
    if (!(sliceIndex >= 0 && sliceIndex < this.#count)) {
      throw new RangeError(`sliceIndex: expected 0 to ${this.#count - 1}, got ${sliceIndex}`)
    }
    if (spool !== undefined) return spool.read(sliceIndex, this.#takeBuffer())
    const buffer = this.#takeBuffer()
    const [spanStart, spanEnd] = [this.startOf(sliceIndex), this.startOf(sliceIndex + 1)]
    const slice = await this.#reader.again(spanStart, spanEnd, buffer.subarray(this.#headRoom))
    const plain = slice && this.#plainFrame(slice, buffer)
    const frame = plain && this.#encoder.encodeNow(plain, frameHeadBytes(slice.runs.length))
    if (frame !== undefined && digestWord(frame) === this.#digests[sliceIndex]) return this.#seal(sliceIndex, frame)
    throw this.#changed(sliceIndex)
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
    if (this.#free.length < MAX_FREE_BUFFERS) this.#free.push(new Uint8Array(frame.buffer as ArrayBuffer))
  }

  /** Ends the reading of a stream, and the encoder. */
  async close(): Promise<void> {
    await this.#reader.close()
    await this.#encoder.close()
  }

  #readAhead(): void {
    const buffer = this.#takeBuffer()
    const encoded = this.#reader.next(buffer.subarray(this.#headRoom)).then((slice) => {
      if (slice !== undefined) return this.#encode(slice, buffer)
      this.release(buffer)
      return undefined
    })
    encoded.catch(() => undefined)
    this.#ahead.push(encoded)
  }

  #takeBuffer(): Uint8Array<ArrayBuffer> {
    const { geometry, sealer } = this.#options
    return this.#free.pop() ?? new Uint8Array(this.#headRoom + geometry.sliceBytes + (sealer?.extraBytes ?? 0))
  }

  async #encode(slice: Slice, buffer: Uint8Array<ArrayBuffer>): Promise<Encoded> {
    return {
      slice,
      frame: await this.#encoder.encode(this.#plainFrame(slice, buffer), frameHeadBytes(slice.runs.length)),
    }
  }

  /** The frame of a slice whose plain data lies in `buffer` behind the head room, not encoded yet; a part of the buffer. */
  #plainFrame(slice: Slice, buffer: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const headBytes = frameHeadBytes(slice.runs.length)
    const frame = buffer.subarray(this.#headRoom - headBytes, this.#headRoom + slice.plainBytes)
    encodeFrameHeadInto(frame, { ...slice, codec: Codec.none })
    return frame
  }

  /** Seals a frame where it lies. What was sealed once is never sealed as something else (see `FrameSealer`). */
  #seal(sliceIndex: number, frame: Uint8Array): Uint8Array {
    const { sealer } = this.#options
    if (sealer === undefined) return frame
    const sealed = sealer.seal(sliceIndex, new Uint8Array(frame.buffer, frame.byteOffset), frame.length)
    if (sealed === undefined) throw this.#changed(sliceIndex)
    return sealed
  }

  #changed(sliceIndex: number): SkilfishError {
    const span = `bytes ${this.startOf(sliceIndex)} to ${this.startOf(sliceIndex + 1)}`
    const text = `${span} are not what they were; they must stay until all receivers have them`
    return new SkilfishError('SOURCE_CHANGED', `cannot send ${this.#options.source.label} again: ${text}`)
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

/** The first four bytes of a frame's digest. */
const digestWord = (frame: Uint8Array): number =>
  ((frame[DIGEST_OFFSET]! << 24) |
    (frame[DIGEST_OFFSET + 1]! << 16) |
    (frame[DIGEST_OFFSET + 2]! << 8) |
    frame[DIGEST_OFFSET + 3]!) >>>
  0
