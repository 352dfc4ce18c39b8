import { maxRunCount, type Run } from '../protocol/index.ts'
import { PAGE_BYTES } from './image.ts'
import { ZeroScan } from './zero-scan.ts'

/** What a slice holds: a stretch of the image, its span, and the runs in it that are not holes. */
export interface Slice {
  /** The span begins where that of the slice before ended. */
  readonly spanStart: number
  /** The end of the last run. */
  readonly spanEnd: number
  /** Ascending, not overlapping, adjacent ones of a kind joined. */
  readonly runs: readonly Run[]
  /** Sum of the data runs' lengths: so many bytes of the slice's buffer are in use. */
  readonly plainBytes: number
}

/** Puts one slice together: its data back to back at the start of a buffer, and its runs. Knows when it is full. */
export class SlicePacker {
  readonly #spanStart: number
  readonly #sliceBytes: number
  readonly #into: Uint8Array
  readonly #runs: { offset: number; lengthBytes: number; isZero: boolean }[] = []
  #plainBytes = 0

  /** @param into at least `sliceBytes`: gets the data */
  constructor(spanStart: number, sliceBytes: number, into: Uint8Array) {
    this.#spanStart = spanStart
    this.#sliceBytes = sliceBytes
    this.#into = into
  }

  /** No more data fits. */
  get isFull(): boolean {
    return this.#plainBytes === this.#sliceBytes
  }

  /** The part of the buffer that is still free: data that is read to its start need not be moved. */
  get free(): Uint8Array {
    return this.#into.subarray(this.#plainBytes, this.#sliceBytes)
  }

  /** Where the last run ends; the span's start while there is none. */
  get endOffset(): number {
    const last = this.#runs.at(-1)
    return last === undefined ? this.#spanStart : last.offset + last.lengthBytes
  }

  /**
   * Adds the pages that are not all zero.
   * @param offset image offset of `bytes`, a multiple of 4096
   * @param bytes whole pages; only the last may be shorter. May lie in `free`
   * @returns how many of the bytes were looked at before the slice was full: whole pages
   */
  addPages(offset: number, bytes: Uint8Array): number {
    const scan = new ZeroScan(bytes)
    let at = 0
    while (at < bytes.length) {
      const pageEnd = Math.min(at + PAGE_BYTES, bytes.length)
      if (scan.isZero(at, pageEnd)) {
        at = pageEnd
        continue
      }
      if (!this.#hasRoom(offset + at, false)) return at
      const most = Math.min(bytes.length, at + this.#sliceBytes - this.#plainBytes)
      let end = pageEnd
      while (end < most && !scan.isZero(end, Math.min(end + PAGE_BYTES, most))) end = Math.min(end + PAGE_BYTES, most)
      this.#addData(offset + at, bytes, at, end)
      at = end
    }
    return at
  }

  /** Adds a run of zeros, of any length. @returns false when the slice has no room for it */
  tryAddZeros(offset: number, lengthBytes: number): boolean {
    if (!this.#hasRoom(offset, true)) return false
    this.#addRun(offset, lengthBytes, true)
    return true
  }

  /** The slice, or undefined when nothing was added. */
  finish(): Slice | undefined {
    if (this.#runs.length === 0) return undefined
    const { endOffset: spanEnd } = this
    return { spanStart: this.#spanStart, spanEnd, runs: this.#runs, plainBytes: this.#plainBytes }
  }

  #hasRoom(offset: number, isZero: boolean): boolean {
    return !this.isFull && (this.#runs.length < maxRunCount(this.#sliceBytes) || this.#extendsLast(offset, isZero))
  }

  #extendsLast(offset: number, isZero: boolean): boolean {
    return this.#runs.at(-1)?.isZero === isZero && this.endOffset === offset
  }

  #addData(offset: number, bytes: Uint8Array, start: number, end: number): void {
    const isInPlace =
      bytes.buffer === this.#into.buffer && bytes.byteOffset + start === this.#into.byteOffset + this.#plainBytes
    if (!isInPlace) this.#into.set(bytes.subarray(start, end), this.#plainBytes)
    this.#addRun(offset, end - start, false)
    this.#plainBytes += end - start
  }

  #addRun(offset: number, lengthBytes: number, isZero: boolean): void {
    if (this.#extendsLast(offset, isZero)) this.#runs.at(-1)!.lengthBytes += lengthBytes
    else this.#runs.push({ offset, lengthBytes, isZero })
  }
}
