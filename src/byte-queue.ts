const EMPTY = new Uint8Array(0)

/** Bytes that came in chunks of any size, taken out in pieces of any size. */
export class ByteQueue {
  /** Still to be taken: the first chunk from `#offset` on, then the others. */
  readonly #chunks: Uint8Array[] = []
  #offset = 0
  /** The beginning of a piece that is spread over chunks; as long as the longest of them was. */
  #partial = EMPTY
  #partialBytes = 0

  /** Takes hold of `bytes`, without a copy: they must not change until all are taken. */
  push(bytes: Uint8Array): void {
    // A view of its own, as a chunk may be a Buffer of Node.js, whose `slice` does not copy.
    if (bytes.length > 0) this.#chunks.push(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length))
  }

  /**
   * The next `count` bytes, or undefined while fewer are here; then ask for as many again.
   * The piece is the queue's or the chunk's own memory: only to be read, and valid until the next call.
   */
  take(count: number): Uint8Array | undefined {
    if (this.#partialBytes === 0) {
      const piece = this.#takeFromChunk(count)
      if (piece.length === count) return piece
      if (this.#partial.length < count) this.#partial = new Uint8Array(count)
      this.#hold(piece)
    }
    while (this.#partialBytes < count) {
      if (this.#chunks.length === 0) return undefined
      this.#hold(this.#takeFromChunk(count - this.#partialBytes))
    }
    this.#partialBytes = 0
    return this.#partial.subarray(0, count)
  }

  /** At most `count` bytes of the first chunk; none when there is no chunk. */
  #takeFromChunk(count: number): Uint8Array {
    const chunk = this.#chunks[0]
    if (!chunk) return EMPTY
    const piece = chunk.subarray(this.#offset, this.#offset + count)
    this.#offset += piece.length
    if (this.#offset === chunk.length) {
      this.#chunks.shift()
      this.#offset = 0
    }
    return piece
  }

  #hold(piece: Uint8Array): void {
    this.#partial.set(piece, this.#partialBytes)
    this.#partialBytes += piece.length
  }
}
