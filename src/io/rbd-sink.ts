import { SkilfishError } from '../errors.ts'
import { encodeRbdRecord, parseRbdName, type WritableRbdRecord } from '../rbd/index.ts'
import type { ImageFacts, ImageSink } from '../sparse/index.ts'
import type { Program } from './program.ts'
import { RbdTool, type RbdToolOptions } from './rbd-tool.ts'
import { targetError } from './storage-error.ts'

/** The key in an image's metadata that tells what a sink has done: `incomplete` or `complete`, and the id of what was received. */
const STATE_KEY = 'skilfish.image'
const INCOMPLETE = 'incomplete'

/** Zeros told to `rbd` at once, bytes: it works at all objects of a record at the same time, 256 of the usual size. */
const ZEROS_BYTES = 1024 ** 3

/** While the size is not known, an image grows by at least this, bytes. */
const GROWTH_BYTES = 1024 ** 3

/** How long `rbd` may take to close the image when it is given up. Killed, it would be listed as its user for half a minute. */
const CLOSE_GRACE_MS = 5000

/**
 * An RBD image as a sink: `rbd import-diff` writes it. Made by `open` where there is none; an existing one must have the size of
 * what is received, and nobody may use it. However the transfer ends, the image's metadata tells whether it is complete: the word
 * `incomplete` stands there before anything is written, `complete` when all of it has been acknowledged by the cluster.
 */
export class RbdSink implements ImageSink {
  readonly isSequential = false
  readonly label: string
  readonly #tool: RbdTool
  readonly #isZeroed: boolean
  #image: ImageFacts | undefined
  /** Of an image that was there; undefined when there is none. */
  #existingBytes: number | undefined
  /** What the image has now: it grows while nobody knows the size. */
  #currentBytes = 0
  #program: Program | undefined

  private constructor(label: string, tool: RbdTool, isZeroed: boolean) {
    this.label = label
    this.#tool = tool
    this.#isZeroed = isZeroed
  }

  /**
   * Checks what can be checked before anything is known of what will come; changes nothing.
   * @param text `rbd:[POOL/[NAMESPACE/]]IMAGE`
   * @param isZeroed an existing image reads as zeros already
   * @throws SkilfishError OPTION_INVALID, TARGET_NOT_FOUND, TARGET_DENIED, TARGET_BUSY, TARGET_FAILED, RBD_MISSING, RBD_UNREACHABLE
   */
  static async prepare(text: string, isZeroed: boolean, options?: RbdToolOptions): Promise<RbdSink> {
    const name = parseRbdName(text)
    if (name.snapshot !== undefined) {
      const wanted = 'a snapshot never changes; name the image alone'
      throw new SkilfishError('OPTION_INVALID', `cannot receive to ${text}: ${wanted}`)
    }
    const sink = new RbdSink(text, new RbdTool(text, name, 'TARGET', options), isZeroed)
    await sink.#examine()
    return sink
  }

  async open(image: ImageFacts): Promise<void> {
    await this.#examine()
    const { sizeBytes } = image
    if (this.#existingBytes === undefined) {
      await this.#tool.command('make', 'create', ['--size', `${sizeBytes ?? 0}B`])
      this.#currentBytes = sizeBytes ?? 0
    } else {
      if (sizeBytes !== undefined) this.#checkSize(sizeBytes)
      this.#currentBytes = this.#existingBytes
    }
    await this.#mark(image, INCOMPLETE)
    this.#image = image
    this.#program = this.#tool.start('import-diff', ['--path', '-'])
    await this.#send([{ kind: 'diff', version: 1 }])
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const end = this.#checkRange('write', offset, bytes.length)
    await this.#send([...this.#growth(end), { kind: 'data', offset, bytes }])
  }

  async zero(offset: number, lengthBytes: number): Promise<void> {
    const end = this.#checkRange('zero', offset, lengthBytes)
    if (this.#existingBytes === undefined || this.#isZeroed) return
    for (let at = offset; at < end; at += ZEROS_BYTES) {
      await this.#send([{ kind: 'zeros', offset: at, lengthBytes: Math.min(ZEROS_BYTES, end - at) }])
    }
  }

  async finish(sizeBytes: number): Promise<void> {
    this.#checkRange('finish', 0, sizeBytes)
    const image = this.#image!
    const program = this.#program!
    if (image.sizeBytes !== undefined && sizeBytes !== image.sizeBytes) {
      throw new RangeError(`finish: expected the announced size, ${image.sizeBytes} bytes, got ${sizeBytes}`)
    }
    if (this.#existingBytes !== undefined) this.#checkSize(sizeBytes)
    if (sizeBytes !== this.#currentBytes) await this.#send([{ kind: 'size', sizeBytes }])
    await this.#send([{ kind: 'end' }])
    program.stdin.end()
    await this.#checkEnd(program)
    await this.#mark(image, 'complete')
    this.#program = undefined
  }

  /** `rbd` sees its input end without an end, closes the image and fails; what it wrote stays, and so does the mark. */
  async abort(): Promise<void> {
    await this.#program?.stop(CLOSE_GRACE_MS)
    this.#program = undefined
  }

  /** Looks at what is there, and refuses an image that somebody uses. */
  async #examine(): Promise<void> {
    const found = await this.#tool.find()
    this.#existingBytes = found?.sizeBytes
    if (found === undefined) return
    const [watcher] = await this.#tool.watchers()
    if (watcher === undefined) return
    const text = `${watcher} uses it; nobody may (one that has died is listed for another 30 s)`
    throw new SkilfishError('TARGET_BUSY', `cannot receive to ${this.label}: ${text}`)
  }

  #checkSize(sizeBytes: number): void {
    if (sizeBytes === this.#existingBytes) return
    const text = `it has ${this.#existingBytes ?? 0} bytes; it must have those of the image, ${sizeBytes}`
    throw new SkilfishError('TARGET_SIZE_DIFFERS', `cannot receive to ${this.label}: ${text}`)
  }

  /** @returns the end of the range */
  #checkRange(label: string, offset: number, lengthBytes: number): number {
    if (this.#image === undefined || this.#program === undefined) {
      throw new TypeError(`${label}: expected a call between open and finish or abort`)
    }
    const end = offset + lengthBytes
    const limit = this.#image.sizeBytes ?? Number.MAX_SAFE_INTEGER
    if (!(offset >= 0 && lengthBytes >= 0 && end <= limit)) {
      throw new RangeError(`${label}: expected a range within 0 to ${limit} bytes, got ${lengthBytes} at ${offset}`)
    }
    return end
  }

  /** What makes room for data up to `end` in an image whose size is not known yet. */
  #growth(end: number): readonly WritableRbdRecord[] {
    if (end <= this.#currentBytes) return []
    if (this.#existingBytes !== undefined) this.#checkSize(end)
    this.#currentBytes = Math.max(2 * this.#currentBytes, Math.ceil(end / GROWTH_BYTES) * GROWTH_BYTES)
    return [{ kind: 'size', sizeBytes: this.#currentBytes }]
  }

  /** Hands records to `rbd`, all of them before those of the next call. */
  async #send(records: readonly WritableRbdRecord[]): Promise<void> {
    const program = this.#program!
    const parts = records.flatMap((record) => encodeRbdRecord(record, 1))
    try {
      await this.#tool.patiently(Promise.all(parts.map((part) => program.write(part))))
    } catch (error) {
      if (error instanceof SkilfishError) throw error
      // It reads no more. Why, it tells at its end.
      await this.#checkEnd(program)
      throw targetError(`write ${this.label}`, error)
    }
  }

  async #checkEnd(program: Program): Promise<void> {
    this.#tool.check('write', 'import-diff', await this.#tool.patiently(program.ended), program.said)
  }

  async #mark({ imageId }: ImageFacts, state: typeof INCOMPLETE | 'complete'): Promise<void> {
    await this.#tool.command('mark', 'image-meta set', [STATE_KEY, `${state} ${imageId}`])
  }
}

/**
 * Tells whether an RBD image holds the beginning of a transfer that has not ended, or not well.
 * @param text `rbd:[POOL/[NAMESPACE/]]IMAGE`; false for a snapshot, which keeps no such mark
 * @throws SkilfishError OPTION_INVALID, SOURCE_NOT_FOUND, SOURCE_DENIED, SOURCE_FAILED, RBD_MISSING, RBD_UNREACHABLE
 */
export async function isIncompleteImage(text: string): Promise<boolean> {
  const name = parseRbdName(text)
  if (name.snapshot !== undefined) return false
  const state = await new RbdTool(text, name, 'SOURCE').metadata(STATE_KEY)
  return state?.startsWith(INCOMPLETE) === true
}
