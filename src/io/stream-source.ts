import type { Readable } from 'node:stream'
import type { Extent, StreamSource } from '../sparse/index.ts'
import { sourceError } from './storage-error.ts'

/** A stream of bytes, to its end, as a source of unknown size without holes. Owns the stream. */
export class ByteStreamSource implements StreamSource {
  readonly label: string
  readonly #stream: Readable

  /** `stream` yields Uint8Arrays, not text, and is not read by anyone else. */
  constructor(label: string, stream: Readable) {
    this.label = label
    this.#stream = stream
  }

  async *extents(): AsyncGenerator<Extent, void, void> {
    let offset = 0
    try {
      for await (const data of this.#stream as AsyncIterable<Uint8Array>) {
        yield { offset, data }
        offset += data.length
      }
    } catch (error) {
      throw sourceError(`read ${this.label} at ${offset}`, error)
    }
  }

  close(): Promise<void> {
    this.#stream.destroy()
    return Promise.resolve()
  }
}
