import { PAGE_BYTES, type RandomAccessSource } from './image.ts'
import { SlicePacker, type Slice } from './slice-packer.ts'

/**
 * Cuts a source that can be read anywhere into slices: the pages that are not all zero, by ascending offset, packed until the
 * slice is full. A slice depends on the image and on where it begins, and on nothing else: read again, it is the same,
 * and however the source reports its holes, too.
 */
export class RandomAccessSlicer {
  readonly #source: RandomAccessSource
  readonly #sliceBytes: number
  /** A buffer for looking through zeros, while no read uses it. */
  #scratch: Uint8Array | undefined

  /** @param sliceBytes a multiple of 4096 */
  constructor(source: RandomAccessSource, sliceBytes: number) {
    this.#source = source
    this.#sliceBytes = sliceBytes
  }

  /**
   * Reads the slice that begins at `spanStart`: 0, or where the slice before ended. Several reads may be under way.
   * @param into at least `sliceBytes`: gets the slice's data; its rest is overwritten, too
   * @param end where to stop looking: the end of a known slice, or (the default) of the image
   * @returns the slice, which is the last when it is not full, or undefined when only zeros follow
   * @throws what the source throws; RangeError when `nextData` yields a range that ends before it was to begin
   */
  async read(spanStart: number, into: Uint8Array, end: number = this.#source.sizeBytes): Promise<Slice | undefined> {
    const packer = new SlicePacker(spanStart, this.#sliceBytes, into)
    let at = spanStart
    while (!packer.isFull) {
      const data = await this.#source.nextData(at)
      if (data === undefined || data.start >= end) break
      if (data.end <= at) {
        throw new RangeError(`nextData(${at}) of ${this.#source.label}: expected a range behind, got ${data.end}`)
      }
      // Whole pages, whatever grain the source has: what the range leaves out of them reads as zeros.
      at = Math.max(at, data.start - (data.start % PAGE_BYTES))
      const rangeEnd = Math.min(end, Math.ceil(data.end / PAGE_BYTES) * PAGE_BYTES)
      at = await this.#readRange(packer, at, rangeEnd)
    }
    return packer.finish()
  }

  /** Packs the pages from `start` to `end` until the slice is full. @returns where it stopped */
  async #readRange(packer: SlicePacker, start: number, end: number): Promise<number> {
    let at = start
    while (at < end && !packer.isFull) {
      // Data is read right to its place, as much as fits. Behind zeros more zeros are likely, which would be read in pieces as small
      // as the room that is left: there, much is read elsewhere, and what fits is moved.
      const isBehindZeros = at > start && packer.endOffset !== at
      const scratch = isBehindZeros ? this.#takeScratch() : undefined
      const room = scratch ?? packer.free
      const place = room.subarray(0, Math.min(room.length, end - at))
      await this.#source.readInto(at, place)
      at += packer.addPages(at, place)
      if (scratch !== undefined) this.#scratch = scratch
    }
    return at
  }

  #takeScratch(): Uint8Array {
    const scratch = this.#scratch ?? new Uint8Array(this.#sliceBytes)
    this.#scratch = undefined
    return scratch
  }
}
