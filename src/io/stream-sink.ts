import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { ImageSink } from '../sparse/index.ts'
import { targetError } from './storage-error.ts'

/** Zeros written at once for a hole, bytes. */
const ZEROS_BYTES = 1024 * 1024

/**
 * A stream of bytes as a sink: the image in order, with zeros for holes. A promise settles when the stream has passed the
 * bytes on, so a slow reader slows the caller. Owns the stream. Its reader cannot see from the bytes that they are not all.
 */
export class StreamSink implements ImageSink {
  readonly isSequential = true
  readonly label: string
  readonly #stream: Writable
  readonly #flush: () => Promise<void>
  #position = 0
  #last: Promise<void> = Promise.resolve()
  #failure: Error | undefined
  #zeros: Uint8Array | undefined

  /** `flush` brings what was written to stable storage, where there is such a thing. */
  constructor(label: string, stream: Writable, flush: () => Promise<void> = () => Promise.resolve()) {
    this.label = label
    this.#stream = stream
    this.#flush = flush
    // The first error tells the reason; a write after it only hears that the stream is destroyed.
    stream.on('error', (error: Error) => (this.#failure ??= error))
  }

  open(): Promise<void> {
    return Promise.resolve()
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    return this.#inOrder('write', offset, bytes.length, () => this.#push(bytes))
  }

  zero(offset: number, lengthBytes: number): Promise<void> {
    return this.#inOrder('zero', offset, lengthBytes, () => this.#pushZeros(lengthBytes))
  }

  async finish(sizeBytes: number): Promise<void> {
    await this.zero(this.#position, sizeBytes - this.#position)
    try {
      await this.#flush()
      this.#stream.end()
      await finished(this.#stream)
    } catch (error) {
      throw this.#error(error)
    }
  }

  abort(): Promise<void> {
    this.#stream.destroy()
    return Promise.resolve()
  }

  /** Runs `work` after all earlier calls; when one of them failed, fails as it did. */
  #inOrder(label: string, offset: number, lengthBytes: number, work: () => Promise<void>): Promise<void> {
    if (offset !== this.#position || !(lengthBytes >= 0)) {
      const text = `expected what follows byte ${this.#position}, got ${lengthBytes} bytes at ${offset}`
      return Promise.reject(new RangeError(`${label}: ${text}`))
    }
    this.#position += lengthBytes
    this.#last = this.#last.then(work)
    return this.#last
  }

  async #pushZeros(lengthBytes: number): Promise<void> {
    this.#zeros ??= new Uint8Array(ZEROS_BYTES)
    for (let left = lengthBytes; left > 0; left -= ZEROS_BYTES) {
      await this.#push(left < ZEROS_BYTES ? this.#zeros.subarray(0, left) : this.#zeros)
    }
  }

  #push(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#stream.write(bytes, (error) => {
        if (error) reject(this.#error(error))
        else resolve()
      })
    })
  }

  #error(error: unknown): Error {
    return targetError(`write to ${this.label}`, this.#failure ?? error)
  }
}
