import { isRandomAccess, type ImageSource } from './image.ts'
import { RandomAccessSlicer } from './random-access-slicer.ts'
import type { Slice } from './slice-packer.ts'
import { StreamSlicer } from './stream-slicer.ts'

/**
 * For each read that is begun early, so many slices without a hole came last: an image of short stretches has at most a quarter of
 * it read in vain. Ours.
 */
const DENSE_SLICES_PER_EARLY_READ = 4

/** A read that was begun before its turn, where its slice is likely to begin. */
interface EarlyRead {
  readonly start: number
  readonly slice: Promise<Slice | undefined>
}

/**
 * Reads the slices of a source one after the other. Where one begins only the one before tells, but in a long stretch without holes
 * that can be told beforehand: there, reads are begun before their turn, and repeated when it proves to be elsewhere.
 */
export class SliceReader {
  readonly #source: ImageSource
  readonly #sliceBytes: number
  readonly #random: RandomAccessSlicer | undefined
  readonly #stream: StreamSlicer | undefined
  /** Behind the last slice whose turn has come. */
  #position = 0
  /** Calls of {@link next} whose turn has not ended. */
  #pendingCount = 0
  /** Slices without a hole or a page of zeros that came last. */
  #denseCount = 0
  #turn: Promise<unknown> = Promise.resolve()
  #hasEnded = false

  /** @param sliceBytes a multiple of 4096 */
  constructor(source: ImageSource, sliceBytes: number) {
    this.#source = source
    this.#sliceBytes = sliceBytes
    if (isRandomAccess(source)) this.#random = new RandomAccessSlicer(source, sliceBytes)
    else this.#stream = new StreamSlicer(source, sliceBytes)
  }

  /** Whether nothing more is read: all was, a read has failed, or it was told to end. */
  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** Size of the image, or undefined while only the end of a stream will tell. */
  get imageBytes(): number | undefined {
    return this.#stream === undefined ? this.#source.sizeBytes : this.#stream.imageBytes
  }

  /** Whether {@link again} works. */
  get canReread(): boolean {
    return this.#random !== undefined
  }

  /**
   * Reads the next slice. May be called again before the promise settles; they settle in order.
   * @param into at least `sliceBytes`, the reader's until the promise settles: gets the slice's data; its rest is overwritten, too
   * @returns the slice, or undefined when no data follows or nothing more is read
   * @throws as `RandomAccessSlicer.read` and `StreamSlicer.read`
   */
  next(into: Uint8Array): Promise<Slice | undefined> {
    const early = this.#beginEarly(into)
    const slice = this.#turn.then(() => this.#take(into, early))
    this.#pendingCount++
    // Whoever waits for that slice is told of a failure; those behind it find that nothing more is read.
    this.#turn = slice.catch(() => undefined)
    return slice
  }

  /**
   * Reads a slice that was read before, at any time.
   * @param into as for {@link next}
   * @returns undefined when the source no longer has data there
   * @throws TypeError unless {@link canReread}; else as `RandomAccessSlicer.read`
   */
  again(spanStart: number, spanEnd: number, into: Uint8Array): Promise<Slice | undefined> {
    if (this.#random === undefined)
      throw new TypeError(`again: expected canReread, but ${this.#source.label} is read once`)
    return this.#random.read(spanStart, into, spanEnd)
  }

  /** Reads nothing more, and lets a stream clean up. */
  async close(): Promise<void> {
    this.#hasEnded = true
    await this.#stream?.close()
  }

  #beginEarly(into: Uint8Array): EarlyRead | undefined {
    const isForetold = this.#pendingCount * DENSE_SLICES_PER_EARLY_READ <= this.#denseCount
    if (this.#random === undefined || this.#hasEnded || !isForetold) return undefined
    const start = this.#position + this.#pendingCount * this.#sliceBytes
    const slice = this.#random.read(start, into)
    slice.catch(() => undefined)
    return { start, slice }
  }

  /** Ends the turn of a call of {@link next}. */
  async #take(into: Uint8Array, early: EarlyRead | undefined): Promise<Slice | undefined> {
    try {
      const slice = await this.#read(into, early)
      // Only zeros follow a slice of an image that is not full: without this they would all be read a second time.
      const isLast = this.#random !== undefined && (slice?.plainBytes ?? 0) < this.#sliceBytes
      if (slice === undefined || isLast) this.#hasEnded = true
      if (slice === undefined) return undefined
      this.#denseCount = slice.spanEnd - this.#position === this.#sliceBytes ? this.#denseCount + 1 : 0
      this.#position = slice.spanEnd
      return slice
    } catch (error) {
      this.#hasEnded = true
      throw error
    } finally {
      this.#pendingCount--
    }
  }

  async #read(into: Uint8Array, early: EarlyRead | undefined): Promise<Slice | undefined> {
    if (early !== undefined && !this.#hasEnded && early.start === this.#position) return early.slice
    // The buffer is in use until then, whatever comes of it.
    await early?.slice.catch(() => undefined)
    if (this.#hasEnded) return undefined
    return this.#random?.read(this.#position, into) ?? this.#stream!.read(into)
  }
}
