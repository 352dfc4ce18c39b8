import { constants } from 'node:os'
import type { Range } from '../sparse/index.ts'
import type { Libc } from './libc.ts'

const SEEK_DATA = 3
const SEEK_HOLE = 4

/**
 * Finds the runs of data of a file by `lseek(2)`, two calls a run, whatever the run's length. Where the calls are not to be
 * had (no `libc`, or the file system refuses), all of the file counts as data.
 */
export class DataFinder {
  readonly #fd: number
  readonly #sizeBytes: number
  readonly #libc: Libc | undefined
  // What the last search showed: a hole in [searchedFrom, start), data in [start, end).
  #searchedFrom = 0
  #start = 0
  #end = 0

  constructor(fd: number, sizeBytes: number, libc: Libc | undefined) {
    this.#fd = fd
    this.#sizeBytes = sizeBytes
    this.#libc = libc
  }

  /** As `RandomAccessSource.nextData`. */
  next(offset: number): Range | undefined {
    if (offset >= this.#sizeBytes) return undefined
    if (offset < this.#searchedFrom || offset >= this.#end) this.#search(offset)
    return this.#start === this.#end ? undefined : { start: Math.max(offset, this.#start), end: this.#end }
  }

  #search(offset: number): void {
    this.#searchedFrom = offset
    const start = this.#seek(offset, SEEK_DATA)
    if (start === -constants.errno.ENXIO || start >= this.#sizeBytes) {
      this.#start = this.#end = this.#sizeBytes
      return
    }
    this.#start = Math.max(offset, start)
    const end = start < 0 ? this.#sizeBytes : this.#seek(this.#start, SEEK_HOLE)
    this.#end = end > this.#start && end < this.#sizeBytes ? end : this.#sizeBytes
  }

  /** @returns the position, or a negated error number. */
  #seek(offset: number, whence: number): number {
    return this.#libc?.lseek(this.#fd, offset, whence) ?? -constants.errno.EINVAL
  }
}
