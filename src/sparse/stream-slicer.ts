import { SkilfishError } from '../errors.ts'
import { PAGE_BYTES, type Extent, type StreamSource } from './image.ts'
import { SlicePacker, type Slice } from './slice-packer.ts'

/** What is left of an extent: data, or zeros where `data` is undefined. */
interface Rest {
  readonly offset: number
  readonly lengthBytes: number
  readonly data: Uint8Array | undefined
}

/**
 * Cuts a source that is read once into slices. Each page of the image with a byte other than zero is data; of the others those that
 * an extent of zeros touches are zeros, the rest holes. So the data runs of a slice depend on the image alone, not on how
 * the source cuts it into extents, and without extents of zeros the slices are those of `RandomAccessSlicer`.
 */
export class StreamSlicer {
  readonly #source: StreamSource
  readonly #sliceBytes: number
  readonly #extents: AsyncIterator<Extent>
  #rest: Rest | undefined
  /** Where the last extent ended. */
  #extentsEnd = 0
  #hasEnded = false
  #isReading = false
  #spanStart = 0
  /** A page that no single extent covers, put together; it is open while `#pageOffset` is not undefined. */
  readonly #page = new Uint8Array(PAGE_BYTES)
  #pageOffset: number | undefined
  #hasPageZeros = false

  /** @param sliceBytes a multiple of 4096 */
  constructor(source: StreamSource, sliceBytes: number) {
    this.#source = source
    this.#sliceBytes = sliceBytes
    this.#extents = source.extents()[Symbol.asyncIterator]()
  }

  /** Size of the image, or undefined while only its end will tell. */
  get imageBytes(): number | undefined {
    return this.#source.sizeBytes ?? (this.#hasEnded ? this.#extentsEnd : undefined)
  }

  /**
   * Reads the next slice. One call at a time.
   * @param into at least `sliceBytes`: gets the slice's data
   * @returns the slice, or undefined when no data and no extent of zeros follows
   * @throws SkilfishError SOURCE_UNORDERED when extents overlap or go back, SOURCE_CHANGED when one ends behind the size that the
   *   source told; RangeError when one has impossible numbers; and what the source throws
   */
  async read(into: Uint8Array): Promise<Slice | undefined> {
    const packer = new SlicePacker(this.#spanStart, this.#sliceBytes, into)
    this.#isReading = true
    try {
      // A full slice goes out at once: the next extent may be long in coming.
      while (this.#take(packer) && !packer.isFull && !this.#hasEnded) await this.#nextExtent()
    } finally {
      this.#isReading = false
    }
    const slice = packer.finish()
    if (slice !== undefined) this.#spanStart = slice.spanEnd
    return slice
  }

  /** Lets the source's generator clean up when the slices are not read to the end. Leaves a read that is under way alone. */
  async close(): Promise<void> {
    if (!this.#isReading) await this.#extents.return?.()
  }

  async #nextExtent(): Promise<void> {
    const next = await this.#extents.next()
    if (next.done === true) {
      this.#hasEnded = true
      return
    }
    const extent = next.value
    const lengthBytes = 'data' in extent ? extent.data.length : extent.zeroBytes
    const end = extent.offset + lengthBytes
    this.#check(extent.offset, lengthBytes, end)
    this.#extentsEnd = end
    if (lengthBytes === 0) return
    this.#rest = { offset: extent.offset, lengthBytes, data: 'data' in extent ? extent.data : undefined }
  }

  #check(offset: number, lengthBytes: number, end: number): void {
    if (!(Number.isSafeInteger(offset) && Number.isSafeInteger(end) && offset >= 0 && lengthBytes >= 0)) {
      const wanted = `whole numbers from 0 to ${Number.MAX_SAFE_INTEGER}`
      throw new RangeError(`extent of ${this.#source.label}: expected ${wanted}, got ${lengthBytes} bytes at ${offset}`)
    }
    const action = `cannot send ${this.#source.label}: its extent of ${lengthBytes} bytes at ${offset}`
    if (offset < this.#extentsEnd) {
      throw new SkilfishError(
        'SOURCE_UNORDERED',
        `${action} begins before ${this.#extentsEnd}, the end of the one before`,
      )
    }
    const { sizeBytes } = this.#source
    if (sizeBytes !== undefined && end > sizeBytes) {
      throw new SkilfishError('SOURCE_CHANGED', `${action} ends behind the ${sizeBytes} bytes that it said it has`)
    }
  }

  /** Packs what is at hand. @returns true when more is wanted, false when the slice is full */
  #take(packer: SlicePacker): boolean {
    for (let rest = this.#rest; rest !== undefined; rest = this.#rest) {
      const pageOffset = rest.offset - (rest.offset % PAGE_BYTES)
      if (this.#pageOffset !== pageOffset && !this.#flushPage(packer)) return false
      const isPart = this.#pageOffset !== undefined || rest.offset !== pageOffset || rest.lengthBytes < PAGE_BYTES
      const takenBytes = isPart ? this.#takePart(rest, pageOffset) : takePages(rest, packer)
      const lengthBytes = rest.lengthBytes - takenBytes
      this.#rest =
        lengthBytes === 0
          ? undefined
          : { offset: rest.offset + takenBytes, lengthBytes, data: rest.data?.subarray(takenBytes) }
      if (!isPart && lengthBytes >= PAGE_BYTES) return false
    }
    return !this.#hasEnded || this.#flushPage(packer)
  }

  /** Puts what the extent has of a page that it does not cover into the open page. @returns how many bytes */
  #takePart(rest: Rest, pageOffset: number): number {
    if (this.#pageOffset === undefined) {
      this.#pageOffset = pageOffset
      this.#page.fill(0)
      this.#hasPageZeros = false
    }
    const at = rest.offset - pageOffset
    const lengthBytes = Math.min(rest.lengthBytes, PAGE_BYTES - at)
    if (rest.data === undefined) this.#hasPageZeros = true
    else this.#page.set(rest.data.subarray(0, lengthBytes), at)
    return lengthBytes
  }

  /** Packs the open page, if any, and closes it. @returns false when the slice has no room for it */
  #flushPage(packer: SlicePacker): boolean {
    const offset = this.#pageOffset
    if (offset === undefined) return true
    const lengthBytes = Math.min(PAGE_BYTES, (this.imageBytes ?? Infinity) - offset)
    if (packer.addPages(offset, this.#page.subarray(0, lengthBytes)) === 0) return false
    const isZero = packer.endOffset <= offset
    if (isZero && this.#hasPageZeros && !packer.tryAddZeros(offset, lengthBytes)) return false
    this.#pageOffset = undefined
    return true
  }
}

/** Packs the whole pages that the extent begins with, as many as the slice has room for. @returns how many bytes */
function takePages(rest: Rest, packer: SlicePacker): number {
  const wholeBytes = rest.lengthBytes - (rest.lengthBytes % PAGE_BYTES)
  if (rest.data !== undefined) return packer.addPages(rest.offset, rest.data.subarray(0, wholeBytes))
  return packer.tryAddZeros(rest.offset, wholeBytes) ? wholeBytes : 0
}
