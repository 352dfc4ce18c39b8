import { constants } from 'node:fs'
import { open, stat, type FileHandle } from 'node:fs/promises'
import { SkilfishError } from '../errors.ts'
import { DirectWriter } from './direct-writer.ts'
import { lockFile } from './file-lock.ts'
import { errnoName } from './storage-error.ts'
import { writeFully } from './write-fully.ts'

/** How a target is written. All default to false. */
export interface SinkOptions {
  /** Every write reaches stable storage before it counts as done (`O_DSYNC`). Files and block devices only. */
  readonly sync?: boolean
  /** Data goes past the page cache (`O_DIRECT`), so that a host's memory stays for others. Files and block devices only. */
  readonly direct?: boolean
  /** The target reads as zeros already: an existing file is not emptied, and nothing is zeroed. */
  readonly assumeZeroed?: boolean
}

/** The open descriptors of a target. Errors of its methods are those of the kernel, not yet SkilfishErrors. */
export class TargetFile {
  readonly handle: FileHandle
  readonly #direct: DirectWriter | undefined

  private constructor(handle: FileHandle, direct: DirectWriter | undefined) {
    this.handle = handle
    this.#direct = direct
  }

  /**
   * Locks it too. `flags` are those of open(2), without what `options` add.
   * @throws SkilfishError TARGET_BUSY when it is locked already, TARGET_UNSUPPORTED when `options.direct` is not to be had; else errors of open(2) as they come.
   */
  static async open(path: string, flags: number, options: SinkOptions): Promise<TargetFile> {
    const syncFlag = options.sync ? constants.O_DSYNC : 0
    const handle = await open(path, flags | syncFlag)
    try {
      if (!(await lockFile(handle, path, 'exclusive'))) {
        const text = 'it is being sent or received to, or locked by another program; nothing else may use it'
        throw new SkilfishError('TARGET_BUSY', `cannot receive to ${path}: ${text}`)
      }
      return new TargetFile(handle, options.direct ? await DirectWriter.open(path, handle, syncFlag) : undefined)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** Writes all of `bytes`, which the caller may change again when the promise settles. Several may be under way. */
  write(position: number, bytes: Uint8Array): Promise<void> {
    return this.#direct ? this.#direct.write(position, bytes) : writeFully(this.handle, position, bytes)
  }

  /** Whether `path` still leads to this file: it may have been removed or renamed, and another may have taken its place. */
  async isAt(path: string): Promise<boolean> {
    const own = await this.handle.stat({ bigint: true })
    const there = await stat(path, { bigint: true }).catch((error: unknown) => {
      if (errnoName(error) === 'ENOENT') return undefined
      throw error
    })
    return there?.ino === own.ino && there.dev === own.dev
  }

  /** Waits for what is under way, then closes. */
  async close(): Promise<void> {
    await this.#direct?.close()
    await this.handle.close()
  }
}
