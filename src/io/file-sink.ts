import { constants } from 'node:fs'
import { open, unlink } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { SkilfishError } from '../errors.ts'
import type { ImageFacts, ResumableSink } from '../sparse/index.ts'
import { blockDeviceBytes, isReadOnlyDevice } from './block-device.ts'
import { DeviceZeroer } from './device-zeroer.ts'
import { drawMark, incompleteStamp, markOf, STAMP_BYTES } from './incomplete-stamp.ts'
import { JOURNAL_SUFFIX } from './journal-file.ts'
import { FINGERPRINT_SUFFIX } from './kept-text.ts'
import { targetError } from './storage-error.ts'
import { syncFolder } from './sync-folder.ts'
import { TargetFile, type SinkOptions } from './target-file.ts'

/**
 * A regular file or a block device as a sink.
 *
 * However the process ends, an unfinished target is recognisable (`isIncompleteTarget`): `open` writes a stamp over the first
 * page and flushes it before anything else is written; the image's own first page is kept in memory and written last of all,
 * after everything else is on stable storage.
 */
export class FileSink implements ResumableSink {
  readonly isSequential = false
  readonly label: string
  /** The first page, which takes the place of the stamp at the end. */
  readonly heldBytes: number = STAMP_BYTES
  readonly #options: SinkOptions
  /** Undefined for a file that `open` makes, and after the end. */
  #file: TargetFile | undefined
  readonly #isNew: boolean
  /** Of a block device; undefined for a regular file. */
  readonly #capacityBytes: number | undefined
  #image: ImageFacts | undefined
  #zeroer: DeviceZeroer | undefined
  #stamp: Uint8Array = new Uint8Array(0)
  /** The first page as it shall be in the end. */
  readonly #head: Uint8Array = new Uint8Array(STAMP_BYTES)
  /** What a device held under the stamp: goes back where the image ends before the stamp does. */
  readonly #oldHead: Uint8Array = new Uint8Array(STAMP_BYTES)
  #isStampTouched = false

  private constructor(path: string, options: SinkOptions, file: TargetFile | undefined, capacityBytes?: number) {
    this.label = path
    this.#options = options
    this.#file = file
    this.#isNew = file === undefined
    this.#capacityBytes = capacityBytes
  }

  /** A file that does not exist yet; `open` makes it. */
  static newFile(path: string, options: SinkOptions): FileSink {
    return new FileSink(path, options, undefined)
  }

  /** A file that exists; unchanged before `open`. Errors of open(2) come as they are. */
  static async existingFile(path: string, options: SinkOptions): Promise<FileSink> {
    return new FileSink(path, options, await TargetFile.open(path, constants.O_WRONLY, options))
  }

  /** A block device, held for this sink alone from now on; unchanged before `open`. Errors of open(2) come as they are. */
  static async blockDevice(path: string, options: SinkOptions): Promise<FileSink> {
    // Without O_CREAT, O_EXCL refuses a device that is mounted, in use, or has a partition that is (open(2)).
    const file = await TargetFile.open(path, constants.O_RDWR | constants.O_EXCL, options)
    try {
      const stat = await file.handle.stat({ bigint: true })
      if (await isReadOnlyDevice(stat)) {
        const text = `cannot receive to ${path}: the device is read-only; it must be writable (see blockdev --setrw)`
        throw new SkilfishError('TARGET_DENIED', text)
      }
      const capacityBytes = await blockDeviceBytes(file.handle.fd, stat)
      if (capacityBytes !== undefined) return new FileSink(path, options, file, capacityBytes)
      const text = `cannot receive to ${path}: the system does not tell its size; name a device whose size is known`
      throw new SkilfishError('TARGET_UNSUPPORTED', text)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Beside a file. A device's folder is the kernel's, and gone after a restart: for a device, the current folder. */
  get journalPath(): string {
    return `${this.#capacityBytes === undefined ? this.label : basename(this.label)}${JOURNAL_SUFFIX}`
  }

  /** Beside a file. A device is told by no name for long: nothing is left for it in some folder. */
  get fingerprintPath(): string | undefined {
    return this.#capacityBytes === undefined ? `${this.label}${FINGERPRINT_SUFFIX}` : undefined
  }

  get mark(): string | undefined {
    return markOf(this.#stamp)
  }

  async hasMark(mark: string): Promise<boolean> {
    if (this.#isNew) return false
    try {
      const handle = await open(this.label, constants.O_RDONLY)
      try {
        const { buffer, bytesRead } = await handle.read(new Uint8Array(STAMP_BYTES), 0, STAMP_BYTES, 0)
        if (bytesRead < STAMP_BYTES || markOf(buffer) !== mark) return false
        this.#stamp = buffer
        return true
      } finally {
        await handle.close()
      }
    } catch (error) {
      throw targetError(`look at ${this.label}`, error)
    }
  }

  async reopen(image: ImageFacts, coveredBytes: number): Promise<void> {
    const file = this.#file
    if (file === undefined || this.mark === undefined)
      throw new TypeError('reopen: expected a target that has its mark')
    if (image.sizeBytes !== undefined) this.#checkCapacity(image.sizeBytes)
    try {
      await this.#requireLength(file, coveredBytes, image.sizeBytes)
      // What the earlier run wrote and the journal does not know of may lie where this image has a hole.
      const writeZeros = (position: number, zeros: Uint8Array): Promise<void> => this.#writeBody(file, position, zeros)
      this.#zeroer = new DeviceZeroer(file.handle.fd, writeZeros)
    } catch (error) {
      throw targetError(`go on with ${this.label}`, error)
    }
    this.#image = image
  }

  async flush(): Promise<void> {
    try {
      await this.#file?.handle.datasync()
    } catch (error) {
      throw targetError(`flush ${this.label}`, error)
    }
  }

  async open(image: ImageFacts): Promise<void> {
    if (image.sizeBytes !== undefined) this.#checkCapacity(image.sizeBytes)
    try {
      this.#file ??= await TargetFile.open(
        this.label,
        constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL,
        this.#options,
      )
      this.#stamp = incompleteStamp(image, drawMark())
      if (this.#capacityBytes !== undefined) {
        await this.#prepareDevice(this.#file, image.sizeBytes, this.#capacityBytes)
      }
      // First of all, so that at no moment an old first page stands before an emptied file.
      await this.#file.write(0, this.#stamp)
      if (this.#capacityBytes === undefined) await this.#resizeFile(this.#file, image.sizeBytes)
      // Before any data: else a power cut could leave an old first page, which looks whole, before new data.
      await this.#file.handle.datasync()
    } catch (error) {
      if (this.#isNew) await this.#discard()
      throw targetError(`prepare ${this.label}`, error)
    }
    this.#image = image
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const file = this.#checkRange('write', offset, bytes.length)
    const headBytes = Math.max(0, STAMP_BYTES - offset)
    if (headBytes > 0) this.#head.set(bytes.subarray(0, headBytes), offset)
    if (bytes.length <= headBytes) return
    await this.#writeBody(file, offset + headBytes, headBytes === 0 ? bytes : bytes.subarray(headBytes))
  }

  async zero(offset: number, lengthBytes: number): Promise<void> {
    this.#checkRange('zero', offset, lengthBytes)
    const end = offset + lengthBytes
    if (offset < STAMP_BYTES) this.#head.fill(0, offset, Math.min(end, STAMP_BYTES))
    // A new or emptied file has nothing but holes; with assumeZeroed the user vouches for zeros.
    const bodyOffset = Math.max(offset, STAMP_BYTES)
    if (end > bodyOffset) await this.#zeroer?.zero(bodyOffset, end - bodyOffset)
  }

  async finish(sizeBytes: number): Promise<void> {
    const file = this.#checkRange('finish', 0, sizeBytes)
    const announcedBytes = this.#image?.sizeBytes
    if (announcedBytes !== undefined && sizeBytes !== announcedBytes) {
      throw new RangeError(`finish: expected the announced size, ${announcedBytes} bytes, got ${sizeBytes}`)
    }
    try {
      if (this.#capacityBytes === undefined) await file.handle.truncate(sizeBytes)
      await file.handle.datasync()
      if (this.#isNew) await syncFolder(dirname(this.label))
      if (this.#capacityBytes === undefined && !(await file.isAt(this.label))) throw this.#gone()
      this.#isStampTouched = true
      await file.write(0, this.#finalHead(sizeBytes))
      await file.handle.datasync()
    } catch (error) {
      throw targetError(`complete ${this.label}`, error)
    }
    this.#file = undefined
    await file.close()
  }

  async abort(): Promise<void> {
    const file = this.#file
    if (file === undefined) return
    this.#file = undefined
    try {
      // `finish` failed on its last steps: what is there now might pass for whole.
      if (this.#isStampTouched) await file.write(0, this.#stamp)
    } catch (error) {
      throw targetError(`mark ${this.label} as incomplete`, error)
    } finally {
      await file.close()
    }
  }

  /** Drops what the file held behind the stamp, which stays whole also when the image is shorter: `finish` cuts the file. */
  async #resizeFile(file: TargetFile, sizeBytes: number | undefined): Promise<void> {
    if (!this.#options.assumeZeroed) await file.handle.truncate(STAMP_BYTES)
    if (sizeBytes !== undefined) await file.handle.truncate(Math.max(sizeBytes, STAMP_BYTES))
  }

  /** A file that was cut off since has lost what the journal counts on. One of a stream grows when the size gets known. */
  async #requireLength(file: TargetFile, wantedBytes: number, sizeBytes = 0): Promise<void> {
    if (this.#capacityBytes !== undefined) return
    const { size } = await file.handle.stat()
    if (size >= wantedBytes) {
      if (size < sizeBytes) await file.handle.truncate(sizeBytes)
      return
    }
    const text = `it has ${size} bytes where the earlier run has left ${wantedBytes}; remove the journal to start anew`
    throw new SkilfishError('JOURNAL_REFUSED', `cannot go on with ${this.label}: ${text}`)
  }

  async #prepareDevice(file: TargetFile, sizeBytes: number | undefined, capacityBytes: number): Promise<void> {
    // What lies behind the image on a device is not ours, so the stamp must not go beyond its end.
    this.#stamp = this.#stamp.subarray(0, Math.min(sizeBytes ?? capacityBytes, capacityBytes))
    await file.handle.read(this.#oldHead, 0, this.#stamp.length, 0)
    if (this.#options.assumeZeroed) return
    const writeZeros = (position: number, zeros: Uint8Array): Promise<void> => this.#writeBody(file, position, zeros)
    this.#zeroer = new DeviceZeroer(file.handle.fd, writeZeros)
  }

  async #writeBody(file: TargetFile, position: number, bytes: Uint8Array): Promise<void> {
    try {
      await file.write(position, bytes)
    } catch (error) {
      throw targetError(`write ${bytes.length} bytes at ${position} of ${this.label}`, error)
    }
  }

  #finalHead(sizeBytes: number): Uint8Array {
    if (this.#capacityBytes === undefined) return this.#head.subarray(0, sizeBytes)
    if (sizeBytes < STAMP_BYTES) this.#head.set(this.#oldHead.subarray(sizeBytes), sizeBytes)
    return this.#head.subarray(0, this.#stamp.length)
  }

  /** @returns the open file. */
  #checkRange(label: string, offset: number, lengthBytes: number): TargetFile {
    if (this.#image === undefined || this.#file === undefined) {
      throw new TypeError(`${label}: expected a call between open and finish or abort`)
    }
    const end = offset + lengthBytes
    const limit = this.#image.sizeBytes ?? Number.MAX_SAFE_INTEGER
    if (!(offset >= 0 && lengthBytes >= 0 && end <= limit)) {
      throw new RangeError(`${label}: expected a range within 0 to ${limit} bytes, got ${lengthBytes} at ${offset}`)
    }
    this.#checkCapacity(end)
    return this.#file
  }

  #checkCapacity(neededBytes: number): void {
    if (this.#capacityBytes === undefined || neededBytes <= this.#capacityBytes) return
    const text = `the device has ${this.#capacityBytes} bytes; the image needs at least ${neededBytes}`
    throw new SkilfishError('TARGET_TOO_SMALL', `cannot receive to ${this.label}: ${text}`)
  }

  #gone(): SkilfishError {
    const text = 'it was removed or replaced while it was received; nothing else may change it until it is complete'
    return new SkilfishError('TARGET_FAILED', `cannot complete ${this.label}: ${text}`)
  }

  /** Takes a new file away again that could not even be marked as incomplete. */
  async #discard(): Promise<void> {
    const file = this.#file
    if (file === undefined) return
    this.#file = undefined
    await file.close()
    await unlink(this.label)
  }
}
