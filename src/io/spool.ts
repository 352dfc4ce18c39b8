import { constants } from 'node:fs'
import { open, unlink, type FileHandle } from 'node:fs/promises'
import { SkilfishError } from '../errors.ts'
import { errnoName, systemReason } from './storage-error.ts'
import { writeFully } from './write-fully.ts'

/** Records that the tables have room for at the start; they double when full. */
const INITIAL_RECORD_COUNT = 1024
/** Length of a record that is not yet written. No record is so long. */
const UNWRITTEN = 0xffff_ffff

/**
 * Opens a spool: a file without a name, on the disk where `path` lies. The file at `path` is made, then taken from its folder
 * at once, so that its space is free again however the process ends.
 *
 * @throws SkilfishError SPOOL_FAILED when the file cannot be made, or exists and is not empty.
 */
export async function openSpool(path: string): Promise<Spool> {
  let handle: FileHandle | undefined
  try {
    // A link would lose its name while the file it leads to kept growing.
    handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW)
    const found = await handle.stat()
    if (!found.isFile()) throw spoolError(`make the spool ${path}: it is not a regular file; name a path that is free`)
    if (found.size > 0)
      throw spoolError(`make the spool ${path}: a file of ${found.size} bytes is there; name a path that is free`)
    await unlink(path)
    return new Spool(path, handle)
  } catch (error) {
    await handle?.close()
    throw error instanceof SkilfishError ? error : spoolError(`make the spool ${path}: ${reasonOf(error)}`, error)
  }
}

/**
 * Keeps records of bytes for reading them again: the frames of a source that cannot be read twice. Records are numbered
 * densely from 0 and never change. Takes 12 bytes of memory a record.
 */
export class Spool {
  readonly #path: string
  readonly #handle: FileHandle
  #offsets: Float64Array<ArrayBuffer> = new Float64Array(INITIAL_RECORD_COUNT)
  #lengths: Uint32Array<ArrayBuffer> = new Uint32Array(INITIAL_RECORD_COUNT)
  #recordCount = 0
  #endBytes = 0

  /** Takes over an empty file; `path` is for messages. */
  constructor(path: string, handle: FileHandle) {
    this.#path = path
    this.#handle = handle
  }

  /**
   * Adds a record of less than 2^32 - 1 bytes. Several calls may be under way, made in ascending order of `index`; each
   * `bytes` belongs to the caller again when its promise settles.
   * @throws RangeError unless `index` is the number of records so far.
   * @throws SkilfishError SPOOL_FAILED when the disk is full or fails; the spool is of no more use then.
   */
  async append(index: number, bytes: Uint8Array): Promise<void> {
    if (index !== this.#recordCount) throw new RangeError(`index: expected ${this.#recordCount}, got ${index}`)
    if (bytes.length >= UNWRITTEN) throw new RangeError(`bytes: expected less than ${UNWRITTEN}, got ${bytes.length}`)
    if (index === this.#lengths.length) this.#grow()
    const offset = this.#endBytes
    this.#offsets[index] = offset
    this.#lengths[index] = UNWRITTEN
    this.#recordCount += 1
    this.#endBytes += bytes.length
    try {
      await writeFully(this.#handle, offset, bytes)
    } catch (error) {
      throw spoolError(`write ${bytes.length} bytes at ${offset} of the spool ${this.#path}: ${reasonOf(error)}`, error)
    }
    this.#lengths[index] = bytes.length
  }

  /**
   * Reads a record whose `append` has resolved.
   * @param into room for the record; by default a new buffer is made.
   * @returns the record: `into`, cut to its length, or the new buffer. The caller's.
   * @throws RangeError when there is no such record, or `into` is too short.
   * @throws SkilfishError SPOOL_FAILED when the disk fails.
   */
  async read(index: number, into?: Uint8Array): Promise<Uint8Array> {
    const lengthBytes = index < this.#recordCount ? (this.#lengths[index] ?? UNWRITTEN) : UNWRITTEN
    if (lengthBytes === UNWRITTEN)
      throw new RangeError(`index: expected that of a record that was written, got ${index}`)
    if (into && into.length < lengthBytes) {
      throw new RangeError(`into: expected at least ${lengthBytes} bytes, got ${into.length}`)
    }
    const record = into ? into.subarray(0, lengthBytes) : new Uint8Array(lengthBytes)
    const offset = this.#offsets[index]!
    const action = `read ${lengthBytes} bytes at ${offset} of the spool ${this.#path}`
    for (let done = 0; done < lengthBytes;) {
      const { bytesRead } = await this.#handle
        .read(record, done, lengthBytes - done, offset + done)
        .catch((error: unknown) => {
          throw spoolError(`${action}: ${reasonOf(error)}`, error)
        })
      if (bytesRead === 0) throw spoolError(`${action}: it ends at ${offset + done}; nothing else may write to it`)
      done += bytesRead
    }
    return record
  }

  /** Gives the space back. Called once, after all other calls have settled. */
  async close(): Promise<void> {
    await this.#handle.close()
  }

  #grow(): void {
    const offsets = new Float64Array(2 * this.#offsets.length)
    offsets.set(this.#offsets)
    this.#offsets = offsets
    const lengths = new Uint32Array(2 * this.#lengths.length)
    lengths.set(this.#lengths)
    this.#lengths = lengths
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'its folder does not exist; name a file in an existing folder',
  EISDIR: 'it is a folder; name a file in it',
  ELOOP: 'it is a symbolic link; name a path that is free',
  EACCES: 'permission denied; this user must be allowed to write there',
  EPERM: 'permission denied; this user must be allowed to write there',
  EROFS: 'that file system is read-only; name a path on a writable one',
  ENOSPC: 'no space is left; name a path on a disk with room for all that is sent',
  EDQUOT: "this user's disk quota is used up; name a path on a disk with room for all that is sent",
}

function reasonOf(error: unknown): string {
  const known = REASONS[errnoName(error) ?? '']
  return known ?? `${systemReason(error)}; it must be a file that can be written and read`
}

function spoolError(text: string, cause?: unknown): SkilfishError {
  return new SkilfishError('SPOOL_FAILED', `cannot ${text}`, { cause })
}
