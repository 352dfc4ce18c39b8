import type { BigIntStats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import { SkilfishError } from '../errors.ts'
import type { RandomAccessSource, Range } from '../sparse/index.ts'
import { blockDeviceBytes } from './block-device.ts'
import { DataFinder } from './data-finder.ts'
import { DataMap } from './data-map.ts'
import { loadLibc } from './libc.ts'
import { sourceError } from './storage-error.ts'

/** The source is looked at for changes each time so many bytes were read: a change is told of early in a long transfer. Ours. */
const LOOK_BYTES = 64 * 1024 * 1024

/** A regular file or a block device as a source. Owns its descriptor from {@link FileSource.of} to `close`. */
export class FileSource implements RandomAccessSource {
  readonly label: string
  readonly sizeBytes: number
  readonly identity?: string
  readonly #handle: FileHandle
  readonly #opened: BigIntStats
  readonly #data: DataFinder
  #map: { readonly is: DataMap | undefined } | undefined
  #unwatchedBytes = 0

  private constructor(path: string, handle: FileHandle, opened: BigIntStats, sizeBytes: number, data: DataFinder) {
    this.label = path
    this.sizeBytes = sizeBytes
    this.#handle = handle
    this.#opened = opened
    this.#data = data
    // A block device has no time of change: nothing tells what it holds now from what it held before.
    if (opened.isFile()) this.identity = `${basename(path)} ${sizeBytes} ${opened.mtimeNs} ${opened.ino}`
  }

  /**
   * Takes over a descriptor that is open for reading; `opened` is its `stat`.
   * @throws SkilfishError SOURCE_UNSUPPORTED when the size cannot be told.
   */
  static async of(path: string, handle: FileHandle, opened: BigIntStats): Promise<FileSource> {
    const sizeBytes = await currentBytes(handle, opened)
    if (sizeBytes === undefined || !Number.isSafeInteger(sizeBytes)) {
      const text = `cannot send ${path}: the system does not tell its size; pipe it in with - instead`
      throw new SkilfishError('SOURCE_UNSUPPORTED', text)
    }
    return new FileSource(path, handle, opened, sizeBytes, new DataFinder(handle.fd, sizeBytes, loadLibc()))
  }

  nextData(offset: number): Promise<Range | undefined> {
    return Promise.resolve(this.#data.next(offset))
  }

  dataBefore(offset: number): number | undefined {
    // Not before it is asked for: most who open a file want no progress.
    this.#map ??= { is: DataMap.of(this.#data) }
    return this.#map.is?.before(offset)
  }

  async readInto(offset: number, into: Uint8Array): Promise<void> {
    let filled = 0
    while (filled < into.length) {
      const { bytesRead } = await this.#handle
        .read(into, filled, into.length - filled, offset + filled)
        .catch((error: unknown) => {
          throw sourceError(`read ${into.length} bytes at ${offset} of ${this.label}`, error)
        })
      if (bytesRead === 0) throw this.#changed(`it ends at byte ${offset + filled}`)
      filled += bytesRead
    }
    this.#unwatchedBytes += into.length
    if (this.#unwatchedBytes < LOOK_BYTES) return
    this.#unwatchedBytes = 0
    await this.verifyUnchanged()
  }

  async verifyUnchanged(): Promise<void> {
    const action = `look at ${this.label}`
    const now = await this.#handle.stat({ bigint: true }).catch((error: unknown) => {
      throw sourceError(action, error)
    })
    const sizeBytes = await currentBytes(this.#handle, now)
    if (sizeBytes !== this.sizeBytes) throw this.#changed(`it has ${sizeBytes ?? 'an unknown number of'} bytes now`)
    if (now.isFile() && now.mtimeNs !== this.#opened.mtimeNs) {
      throw this.#changed(`it was written at ${now.mtime.toISOString()}`)
    }
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  #changed(state: string): SkilfishError {
    const wanted = `${this.sizeBytes} bytes, last written at ${this.#opened.mtime.toISOString()}`
    const text = `cannot send ${this.label}: ${state}; it must stay as it was at the start: ${wanted}`
    return new SkilfishError('SOURCE_CHANGED', text)
  }
}

async function currentBytes(handle: FileHandle, stat: BigIntStats): Promise<number | undefined> {
  return stat.isBlockDevice() ? blockDeviceBytes(handle.fd, stat) : Number(stat.size)
}
