import { decodeFrame } from '../../src/protocol/index.ts'

/** A target's bytes in memory, written as a receiver's driver writes them: data at its offset, zeros for the holes of the span. */
export class SimulatedTarget {
  readonly bytes: Uint8Array
  /** Frames written so far, by whatever run of the receiver. */
  writeCount = 0
  /** The journal: slices that were on stable storage when it was written. */
  recorded: readonly number[] = []
  /** What lies on stable storage. */
  readonly #stored: Uint8Array

  /** @param fill what lies there before: a stale target holds something else than zeros */
  constructor(imageBytes: number, fill: number) {
    this.bytes = new Uint8Array(imageBytes).fill(fill)
    this.#stored = this.bytes.slice()
  }

  /** Writes a raw frame whose digest was checked. @returns the span that it covers */
  write(frame: Uint8Array, sliceBytes: number): [start: number, end: number] {
    const header = decodeFrame(frame, sliceBytes)
    if (typeof header === 'string') throw new Error(`a frame to be written is refused: ${header}`)
    this.writeCount++
    let at = header.spanStart
    let from = header.payloadOffset
    for (const { offset, lengthBytes } of header.runs) {
      this.bytes.fill(0, at, offset)
      this.bytes.set(frame.subarray(from, (from += lengthBytes)), offset)
      at = offset + lengthBytes
    }
    return [header.spanStart, at]
  }

  /** Brings all that was written to stable storage, then has the journal tell which slices that is; none: it is removed. */
  flush(settled: readonly number[]): void {
    this.#stored.set(this.bytes)
    this.recorded = settled
  }

  /** The power of its machine is cut: what was not flushed is lost. */
  cutPower(): void {
    this.bytes.set(this.#stored)
  }
}
