import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { SkilfishError } from '../errors.ts'
import { makeWasmMemory } from '../wasm.ts'
import { errnoName } from './storage-error.ts'
import { writeFully } from './write-fully.ts'

/**
 * What position, length and memory address of a direct write are multiples of, bytes. open(2) asks for the logical block size
 * of the device, which is 512 or 4096.
 */
const ALIGNMENT_BYTES = 4096
/** Longest direct write, bytes: a slice of the default size goes out in one. */
const BUFFER_BYTES = 256 * 1024
/** Direct writes under way at once; with the buffers' size it bounds the memory, at 2 MiB. More wait. */
const BUFFER_COUNT = 8

/**
 * Writes past the page cache (`O_DIRECT`): the aligned middle of each write goes direct, through memory at aligned addresses;
 * its unaligned ends go through the ordinary descriptor. Owns the direct descriptor only.
 */
export class DirectWriter {
  readonly #path: string
  readonly #direct: FileHandle
  readonly #buffered: FileHandle
  readonly #free: Uint8Array[] = []
  readonly #waiting: ((buffer: Uint8Array) => void)[] = []

  private constructor(path: string, direct: FileHandle, buffered: FileHandle) {
    this.#path = path
    this.#direct = direct
    this.#buffered = buffered
    // Node.js cannot ask for aligned memory, but every WebAssembly memory begins at a page of the machine.
    const { buffer } = makeWasmMemory(BUFFER_COUNT * BUFFER_BYTES)
    for (let i = 0; i < BUFFER_COUNT; i++) this.#free.push(new Uint8Array(buffer, i * BUFFER_BYTES, BUFFER_BYTES))
  }

  /**
   * Opens `path` once more beside `buffered`, which stays the caller's and must stay open as long; `flags` are further ones
   * of open(2).
   * @throws SkilfishError TARGET_UNSUPPORTED where direct writes are not to be had; errors of open(2) as they come.
   */
  static async open(path: string, buffered: FileHandle, flags: number): Promise<DirectWriter> {
    const { O_DIRECT } = constants as Partial<typeof constants>
    if (O_DIRECT === undefined) throw unsupported(path)
    const direct = await open(path, constants.O_WRONLY | O_DIRECT | flags).catch((error: unknown) => {
      throw errnoName(error) === 'EINVAL' ? unsupported(path, error) : error
    })
    return new DirectWriter(path, direct, buffered)
  }

  /** Writes all of `bytes`, which the caller may change again when the promise settles. */
  async write(position: number, bytes: Uint8Array): Promise<void> {
    const end = position + bytes.length
    const from = Math.ceil(position / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    const to = Math.floor(end / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    if (from >= to) return writeFully(this.#buffered, position, bytes)
    if (position < from) await writeFully(this.#buffered, position, bytes.subarray(0, from - position))
    for (let at = from; at < to; at += BUFFER_BYTES) {
      await this.#writeAligned(at, bytes.subarray(at - position, Math.min(at + BUFFER_BYTES, to) - position))
    }
    if (to < end) await writeFully(this.#buffered, to, bytes.subarray(to - position))
  }

  async close(): Promise<void> {
    await this.#direct.close()
  }

  async #writeAligned(position: number, bytes: Uint8Array): Promise<void> {
    const buffer = this.#free.pop() ?? (await new Promise<Uint8Array>((resolve) => this.#waiting.push(resolve)))
    try {
      buffer.set(bytes)
      const { bytesWritten } = await this.#direct.write(buffer, 0, bytes.length, position)
      // After a short write the rest may begin anywhere; the ordinary descriptor takes it or tells why not.
      if (bytesWritten < bytes.length) {
        await writeFully(this.#buffered, position + bytesWritten, bytes.subarray(bytesWritten))
      }
    } catch (error) {
      throw errnoName(error) === 'EINVAL' ? unsupported(this.#path, error) : error
    } finally {
      const next = this.#waiting.shift()
      if (next) next(buffer)
      else this.#free.push(buffer)
    }
  }
}

function unsupported(path: string, cause?: unknown): SkilfishError {
  const text = `cannot write ${path} with --direct: its file system or device does not take such writes; leave out --direct`
  return new SkilfishError('TARGET_UNSUPPORTED', text, { cause })
}
