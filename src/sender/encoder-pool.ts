import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { Codec, DigestKind } from '../protocol/index.ts'
import { FrameEncoder } from './frame-encoder.ts'

/** Most threads: four compress faster than a 10 Gbit/s network carries. Bounds memory to some 14 MiB each. Ours. */
const MAX_THREADS = 4

/** Frames that a thread has at hand: while one is encoded and one has just come back, the next ones wait. Ours. */
const FRAMES_PER_THREAD = 4

/** What a `FrameEncoder` is made for. */
export interface EncoderChoice {
  readonly codec: Codec
  readonly digestKind: DigestKind
}

/** To a thread: a frame as `FrameEncoder` takes it. */
export interface EncodeJob {
  /** Moves to the thread, and back with the reply. */
  readonly buffer: ArrayBuffer
  /** Where the frame lies in it, and how long it is. */
  readonly offset: number
  readonly lengthBytes: number
  readonly headBytes: number
}

/** From a thread: the frame begins where it did. */
export interface EncodeReply {
  readonly buffer: ArrayBuffer
  readonly frameBytes: number
}

/** A job that a thread has: they are answered in order. */
interface Pending {
  readonly offset: number
  readonly resolve: (frame: Uint8Array) => void
  readonly reject: (error: Error) => void
}

interface Thread {
  readonly worker: Worker
  readonly pending: Pending[]
}

/**
 * Encodes frames on threads of their own, one for each processor but one, so that digests and compression do not take time from
 * sending. Until the first thread is ready, and where none starts (one processor; a program that was bundled without
 * `encode-worker.js`), frames are encoded by the caller's thread.
 */
export class EncoderPool {
  readonly #encoder: FrameEncoder
  /** Those that are ready. */
  readonly #threads: Thread[] = []
  readonly #workers: Worker[] = []

  /** @param threadCount default: one for each processor but one, at most 4 */
  constructor(choice: EncoderChoice, threadCount: number = Math.min(MAX_THREADS, availableParallelism() - 1)) {
    this.#encoder = new FrameEncoder(choice.codec, choice.digestKind)
    for (let i = 0; i < threadCount; i++) this.#start(choice)
  }

  /** How many frames to have under way at once. */
  get frameCount(): number {
    return Math.max(1, this.#threads.length * FRAMES_PER_THREAD)
  }

  /**
   * Encodes a frame as {@link FrameEncoder.encode} does. Its whole buffer is the pool's until the promise settles.
   * @returns the frame, in the same buffer or in what took its place: the buffer of `frame` may be detached
   */
  async encode(frame: Uint8Array<ArrayBuffer>, headBytes: number): Promise<Uint8Array> {
    const thread = this.#leastBusy()
    if (thread === undefined) return this.encodeNow(frame, headBytes)
    const { buffer, byteOffset: offset, length: lengthBytes } = frame
    const job: EncodeJob = { buffer, offset, lengthBytes, headBytes }
    return new Promise((resolve, reject) => {
      thread.pending.push({ offset, resolve, reject })
      thread.worker.postMessage(job, [buffer])
    })
  }

  /** Encodes a frame on the caller's thread. @returns the frame, in the same buffer */
  encodeNow(frame: Uint8Array, headBytes: number): Uint8Array {
    return frame.subarray(0, this.#encoder.encode(frame, headBytes))
  }

  /** Ends the threads. Frames that are under way never come back. */
  async close(): Promise<void> {
    this.#threads.length = 0
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
  }

  #start(choice: EncoderChoice): void {
    const worker = new Worker(new URL('./encode-worker.js', import.meta.url), { workerData: choice })
    const thread: Thread = { worker, pending: [] }
    this.#workers.push(worker)
    // The transfer has timers and sockets that keep the process; a thread that waits for work must not.
    worker.unref()
    worker.on('message', (message: 'ready' | EncodeReply) => {
      if (message === 'ready') {
        this.#threads.push(thread)
        return
      }
      const { offset, resolve } = thread.pending.shift()!
      resolve(new Uint8Array(message.buffer, offset, message.frameBytes))
    })
    worker.on('error', (error) => {
      const index = this.#threads.indexOf(thread)
      if (index >= 0) this.#threads.splice(index, 1)
      for (const { reject } of thread.pending.splice(0)) reject(error)
    })
  }

  #leastBusy(): Thread | undefined {
    let least = this.#threads[0]
    for (const thread of this.#threads) if (thread.pending.length < least!.pending.length) least = thread
    return least
  }
}
