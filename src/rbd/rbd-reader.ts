import { ByteQueue } from '../byte-queue.ts'
import { SkilfishError } from '../errors.ts'
import {
  DATA_PIECE_BYTES,
  DIFF_BANNERS,
  DIFFS_BANNER,
  IMAGE_BANNER,
  PROTECTION_LENGTH_BYTES,
  RBD_LIMITS,
  type DiffVersion,
  type RbdRecord,
} from './rbd-format.ts'

/** Yields a number to be given that many bytes, which are valid until it yields again, or a record. */
type Parser<Result> = Generator<number | RbdRecord, Result, Uint8Array>

/**
 * A push parser for one stream of the `rbd` tool: a diff of version 1 or 2, or an image of version 2; the stream tells which.
 * Push what has come in, poll until nothing more comes, and so on; then finish. However the input is split, the records are the
 * same.
 *
 * Memory: twice a piece of data (256 KiB), and what was pushed but not yet polled.
 *
 * @example
 * const reader = new RbdReader()
 * for await (const chunk of stream) {
 *   reader.push(chunk)
 *   for (let record = reader.poll(); record; record = reader.poll()) await handle(record)
 * }
 * reader.finish()
 */
export class RbdReader {
  readonly #label: string
  readonly #queue = new ByteQueue()
  readonly #parser: Parser<never> = this.#parse()
  /** The length of the piece that the parser waits for. */
  #wantedBytes = 0
  /** Where that piece begins in the stream, and where the last field began. */
  #position = 0
  #fieldPosition = 0
  #isComplete = false
  #error: SkilfishError | undefined

  /** @param label what is read, for messages: completes "cannot read …" */
  constructor(label = 'the stream of rbd') {
    this.#label = label
  }

  /** Takes the next bytes of the stream, any number. They must not change until `poll` has returned undefined. */
  push(bytes: Uint8Array): void {
    if (this.#error === undefined) this.#queue.push(bytes)
  }

  /**
   * The next record, or undefined when more bytes are needed. The bytes of data are only to be read, and valid until the next
   * call of `poll`.
   * @throws SkilfishError RBD_STREAM_INVALID with the place of the fault; the same again from then on
   */
  poll(): RbdRecord | undefined {
    if (this.#error !== undefined) throw this.#error
    for (;;) {
      const piece = this.#queue.take(this.#wantedBytes)
      if (!piece) return undefined
      this.#fieldPosition = this.#position
      this.#position += piece.length
      this.#wantedBytes = 0
      const { value } = this.#parser.next(piece)
      if (typeof value !== 'number') return value
      this.#wantedBytes = value
    }
  }

  /**
   * To be called when the input has ended and `poll` has returned undefined.
   * @throws SkilfishError RBD_STREAM_INVALID when the stream was not whole
   */
  finish(): void {
    if (this.#error !== undefined) throw this.#error
    if (this.#isComplete) return
    const text = `it ends before byte ${this.#position + Math.max(1, this.#wantedBytes)}, in the middle; it must be whole`
    throw this.#fail(`cannot read ${this.#label}: ${text}`)
  }

  *#parse(): Parser<never> {
    const banner = text(yield DIFF_BANNERS[1].length)
    if (banner === DIFF_BANNERS[1]) yield* this.#diff(1)
    else if (banner === DIFF_BANNERS[2]) yield* this.#diff(2)
    else if (banner === IMAGE_BANNER.slice(0, -1) && text(yield 1) === '\n') yield* this.#image()
    else this.#refuse(`it begins with ${JSON.stringify(banner)}`, 'a diff of version 1 or 2, or an image of version 2')
    this.#isComplete = true
    yield 1
    return this.#refuse('something follows the end', 'nothing')
  }

  *#image(): Parser<void> {
    yield { kind: 'image' }
    for (;;) {
      const tag = text(yield 1)
      if (tag === 'E') break
      const lengthBytes = yield* this.#number('the length of a property')
      yield yield* this.#property(tag, lengthBytes)
    }
    const banner = text(yield DIFFS_BANNER.length)
    if (banner !== DIFFS_BANNER)
      this.#refuse(JSON.stringify(banner), `${JSON.stringify(DIFFS_BANNER)} behind the properties`)
    const count = yield* this.#number('the number of diffs', 1, RBD_LIMITS.diffCount)
    yield { kind: 'diffs', count }
    for (let index = 0; index < count; index++) {
      const diffBanner = text(yield DIFF_BANNERS[2].length)
      if (diffBanner !== DIFF_BANNERS[2])
        this.#refuse(JSON.stringify(diffBanner), `diff ${index + 1} of ${count}, ${JSON.stringify(DIFF_BANNERS[2])}`)
      yield* this.#diff(2)
    }
  }

  *#property(tag: string, lengthBytes: number): Parser<RbdRecord> {
    if (tag === 'M') return yield* this.#metadata(lengthBytes)
    if (!'OTUC'.includes(tag)) return yield* this.#skip(tag, lengthBytes)
    this.#expectLength(tag, lengthBytes, 8)
    if (tag === 'T') return { kind: 'features', bits: bits(yield 8) }
    const { leastOrder, mostOrder } = RBD_LIMITS
    if (tag === 'O') return { kind: 'order', order: yield* this.#number('the order', leastOrder, mostOrder) }
    if (tag === 'U') return { kind: 'stripe-unit', unitBytes: yield* this.#number('the stripe unit') }
    return { kind: 'stripe-count', count: yield* this.#number('the stripe count') }
  }

  *#metadata(lengthBytes: number): Parser<RbdRecord> {
    const key = yield* this.#text('the key of a metadata pair', RBD_LIMITS.nameBytes)
    const value = yield* this.#text('the value of a metadata pair', RBD_LIMITS.valueBytes)
    this.#expectLength('M', lengthBytes, 8 + key.lengthBytes + value.lengthBytes)
    return { kind: 'metadata', key: key.text, value: value.text }
  }

  /** A property says what an image is like, not what it holds: one that is not known does no harm. */
  *#skip(tag: string, lengthBytes: number): Parser<RbdRecord> {
    const most = RBD_LIMITS.skippedBytes
    if (lengthBytes > most) this.#refuse(`an unknown property of ${lengthBytes} bytes`, `at most ${most}`)
    for (let left = lengthBytes; left > 0; left -= DATA_PIECE_BYTES) yield Math.min(left, DATA_PIECE_BYTES)
    return { kind: 'skipped', tag, lengthBytes }
  }

  *#diff(version: DiffVersion): Parser<void> {
    yield { kind: 'diff', version }
    for (;;) {
      const tag = text(yield 1)
      if (tag === 'e') break
      // What a record of a diff means must be known: to pass over one might be to lose data.
      if (!(version === 1 ? 'ftswz' : 'ftpswz').includes(tag))
        this.#refuse(`a record with the tag ${JSON.stringify(tag)}`, `one of a diff of version ${version}`)
      const lengthBytes = version === 2 ? yield* this.#number('the length of a record') : undefined
      yield* this.#record(tag, lengthBytes)
    }
    yield { kind: 'end' }
  }

  /** @param lengthBytes what the stream says of the payload's length, where it says it */
  *#record(tag: string, lengthBytes: number | undefined): Parser<void> {
    switch (tag) {
      case 'f':
      case 't': {
        const name = yield* this.#text('the name of a snapshot', RBD_LIMITS.nameBytes)
        this.#expectLength(tag, lengthBytes, 4 + name.lengthBytes)
        yield { kind: tag === 'f' ? 'from-snapshot' : 'to-snapshot', name: name.text }
        break
      }
      case 'p':
        if (lengthBytes !== PROTECTION_LENGTH_BYTES) this.#expectLength(tag, lengthBytes, 1)
        yield { kind: 'protection', isProtected: (yield 1)[0] !== 0 }
        break
      case 's':
        this.#expectLength(tag, lengthBytes, 8)
        yield { kind: 'size', sizeBytes: yield* this.#number('the size of the image') }
        break
      default:
        yield* this.#extent(tag, lengthBytes)
    }
  }

  *#extent(tag: string, lengthBytes: number | undefined): Parser<void> {
    const offset = yield* this.#number('the offset of an extent')
    const extentBytes = yield* this.#number('the length of an extent', 0, Number.MAX_SAFE_INTEGER - offset)
    this.#expectLength(tag, lengthBytes, tag === 'w' ? 16 + extentBytes : 16)
    if (tag === 'z') {
      yield { kind: 'zeros', offset, lengthBytes: extentBytes }
      return
    }
    const end = offset + extentBytes
    for (let at = offset; at < end;) {
      const bytes = yield Math.min(end - at, DATA_PIECE_BYTES - (at % DATA_PIECE_BYTES))
      yield { kind: 'data', offset: at, bytes }
      at += bytes.length
    }
  }

  *#number(what: string, least = 0, most: number = Number.MAX_SAFE_INTEGER): Parser<number> {
    const value = bits(yield 8)
    if (value < least || value > most) this.#refuse(`${what} is ${value}`, `${least} to ${most}`)
    return Number(value)
  }

  *#text(what: string, mostBytes: number): Parser<{ readonly text: string; readonly lengthBytes: number }> {
    const length = yield 4
    const lengthBytes = viewOf(length).getUint32(0, true)
    if (lengthBytes > mostBytes) this.#refuse(`${what} has ${lengthBytes} bytes`, `at most ${mostBytes}`)
    const bytes = yield lengthBytes
    try {
      return { text: utf8.decode(bytes), lengthBytes }
    } catch {
      return this.#refuse(`${what} is no text`, 'UTF-8')
    }
  }

  #expectLength(tag: string, lengthBytes: number | undefined, wanted: number): void {
    if (lengthBytes === undefined || lengthBytes === wanted) return
    this.#refuse(`a record with the tag ${JSON.stringify(tag)} says it has ${lengthBytes} bytes`, `${wanted}`)
  }

  #refuse(found: string, wanted: string): never {
    const message = `cannot read ${this.#label}: byte ${this.#fieldPosition}: ${found}; expected ${wanted}`
    throw this.#fail(message)
  }

  /** Everything that the parser throws comes from here. */
  #fail(message: string): SkilfishError {
    return (this.#error = new SkilfishError('RBD_STREAM_INVALID', message))
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Bytes as text of as many characters. */
const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes)

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

const bits = (bytes: Uint8Array): bigint => viewOf(bytes).getBigUint64(0, true)
