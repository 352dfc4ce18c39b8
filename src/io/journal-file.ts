import { constants } from 'node:fs'
import { access, open, stat, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { SkilfishError } from '../errors.ts'
import { errnoName, systemReason } from './storage-error.ts'
import { syncFolder } from './sync-folder.ts'
import { writeFully } from './write-fully.ts'

/** What the name of a target becomes its journal's with. */
export const JOURNAL_SUFFIX = '.skilfish'

/** Only its owner may read or write it. */
const MODE = 0o600

/**
 * A file that grows by appending, each time up to stable storage. Knows nothing of what is in it.
 * All methods throw SkilfishError JOURNAL_FAILED when the kernel refuses.
 */
export class JournalFile {
  readonly path: string
  readonly #handle: FileHandle
  #sizeBytes: number

  private constructor(path: string, handle: FileHandle, sizeBytes: number) {
    this.path = path
    this.#handle = handle
    this.#sizeBytes = sizeBytes
  }

  /** A new, empty file, its name on stable storage. There must be none yet. */
  static async create(path: string): Promise<JournalFile> {
    return guarded(`make the journal ${path}`, async () => {
      const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, MODE)
      await syncFolder(dirname(path))
      return new JournalFile(path, handle, 0)
    })
  }

  /** Refuses devices and pipes, which may pass for an empty file. @returns undefined when there is none */
  static async openExisting(path: string): Promise<JournalFile | undefined> {
    return guarded(`open the journal ${path}`, async () => {
      try {
        // Looked at before it is opened: that alone may set a device to work.
        if (!(await stat(path)).isFile()) throw new Error('it is not a regular file')
        const handle = await open(path, constants.O_RDWR)
        return new JournalFile(path, handle, (await handle.stat()).size)
      } catch (error) {
        if (errnoName(error) === 'ENOENT') return undefined
        throw error
      }
    })
  }

  /** Rejects when this user may not make a file of that name. Makes none. */
  static async requirePlace(path: string): Promise<void> {
    await guarded(`make the journal ${path}`, () => access(dirname(path), constants.W_OK | constants.X_OK))
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Up to `lengthBytes` at `position`: fewer at the end. The caller's. */
  async read(position: number, lengthBytes: number): Promise<Uint8Array> {
    return guarded(`read the journal ${this.path}`, async () => {
      const into = new Uint8Array(Math.max(0, Math.min(lengthBytes, this.#sizeBytes - position)))
      let filled = 0
      while (filled < into.length) {
        const { bytesRead } = await this.#handle.read(into, filled, into.length - filled, position + filled)
        if (bytesRead === 0) break
        filled += bytesRead
      }
      return into.subarray(0, filled)
    })
  }

  /** Resolves when `bytes` are on stable storage. */
  async append(bytes: Uint8Array): Promise<void> {
    await guarded(`write the journal ${this.path}`, async () => {
      await writeFully(this.#handle, this.#sizeBytes, bytes)
      await this.#handle.datasync()
    })
    this.#sizeBytes += bytes.length
  }

  /** Drops what lies behind `sizeBytes`. */
  async cut(sizeBytes: number): Promise<void> {
    await guarded(`cut the journal ${this.path}`, () => this.#handle.truncate(sizeBytes))
    this.#sizeBytes = sizeBytes
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  /** Closes it, and removes it. */
  async remove(): Promise<void> {
    await this.close()
    await guarded(`remove the journal ${this.path}`, () => unlink(this.path))
  }
}

async function guarded<T>(action: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (cause) {
    const reason = systemReason(cause)
    const text = `cannot ${action}: ${reason}; it must be a regular file that this user may write`
    throw new SkilfishError('JOURNAL_FAILED', text, { cause })
  }
}
