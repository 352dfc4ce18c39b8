import { ByteQueue } from '../byte-queue.ts'
import { crc32 } from './crc32.ts'
import { Lzo1x, type LzoFault } from './lzo1x.ts'
import {
  LZOP_HEAD_BYTES,
  LZOP_MAGIC,
  LZOP_MAX_BLOCK_BYTES,
  LZOP_VERSION,
  LzopFlag,
  type LzopHeader,
  OLDEST_VERSION,
  UNSUPPORTED_FLAGS,
  word,
} from './lzop-format.ts'

/**
 * Why a file was refused: it is none of lzop's; is of another version (before 0.94, or for a reader after 1.04) or method; has an
 * extra field or a filter; a checksum or length does not fit; a block's stream is faulty (see {@link LzoFault});
 * something follows the end, such as a second member; the input ended before it.
 */
export type LzopFault =
  | 'not-lzop'
  | 'unsupported-version'
  | 'unsupported-method'
  | 'unsupported-flags'
  | 'header-checksum'
  | 'block-too-large'
  | 'block-lengths'
  | 'compressed-checksum'
  | 'plain-checksum'
  | LzoFault
  | 'trailing-bytes'
  | 'truncated'

/** What a {@link LzopReader} yields: the header, once; then the plain blocks in order; or a fault, after which nothing comes. */
export type LzopRecord =
  | { readonly kind: 'header'; readonly header: LzopHeader }
  | { readonly kind: 'block'; readonly bytes: Uint8Array }
  | { readonly kind: 'fault'; readonly fault: LzopFault }

/**
 * A push parser for one `.lzo` file: push what has come in, poll until nothing more comes, and so on; then finish.
 * However the input is split, the records are the same. Verifies every checksum that the file has.
 *
 * Memory: a compressed and a plain block (256 KiB each at most), the codec's 2.1 MiB, and what was pushed but not yet polled.
 *
 * @example
 * const reader = new LzopReader()
 * for await (const chunk of source) {
 *   reader.push(chunk)
 *   for (let record = reader.poll(); record; record = reader.poll()) await handle(record)
 * }
 * const fault = reader.finish()
 */
export class LzopReader {
  readonly #codec: Lzo1x
  readonly #queue = new ByteQueue()
  readonly #parser = this.#parse()
  /** The length of the piece that the parser waits for. */
  #wantedBytes = 0
  #isComplete = false
  #fault: LzopFault | undefined

  constructor(codec: Lzo1x = new Lzo1x()) {
    this.#codec = codec
  }

  /** Takes the next bytes of the file, any number. They must not change until `poll` has returned undefined. */
  push(bytes: Uint8Array): void {
    if (this.#fault === undefined) this.#queue.push(bytes)
  }

  /**
   * The next record, or undefined when more bytes are needed. The bytes of a block are only to be read, and valid until
   * the next call of `poll`.
   */
  poll(): LzopRecord | undefined {
    while (this.#fault === undefined) {
      const piece = this.#queue.take(this.#wantedBytes)
      if (!piece) return undefined
      const { done, value } = this.#parser.next(piece)
      if (done) {
        this.#fault = value
        return { kind: 'fault', fault: value }
      }
      if (typeof value !== 'number') {
        this.#wantedBytes = 0
        return value
      }
      this.#wantedBytes = value
    }
    return undefined
  }

  /** To be called when the input has ended and `poll` has returned undefined: undefined when the file was whole, else why not. */
  finish(): LzopFault | undefined {
    return this.#fault ?? (this.#isComplete ? undefined : 'truncated')
  }

  /** Yields a number to be given that many bytes, valid until it yields again, or a record. Ends with a fault only. */
  *#parse(): Generator<number | LzopRecord, LzopFault, Uint8Array> {
    const magic = yield LZOP_MAGIC.length
    if (!LZOP_MAGIC.every((byte, index) => magic[index] === byte)) return 'not-lzop'

    const head = (yield LZOP_HEAD_BYTES).slice()
    const [version, oldestReader] = [word(head, 0) >>> 16, word(head, 2) & 0xffff]
    if (version < OLDEST_VERSION || oldestReader > LZOP_VERSION) return 'unsupported-version'
    const method = head[6]!
    if (method < 1 || method > 3) return 'unsupported-method'
    const flags = word(head, 8)
    if (flags & UNSUPPORTED_FLAGS) return 'unsupported-flags'

    const nameBytes = head[24]!
    const tail = yield nameBytes + 4
    const covered = new Uint8Array(LZOP_HEAD_BYTES + nameBytes)
    covered.set(head)
    covered.set(tail.subarray(0, nameBytes), LZOP_HEAD_BYTES)
    const adler32 = (bytes: Uint8Array): number => this.#codec.adler32(bytes)
    const headerSum = flags & LzopFlag.headerCrc32 ? crc32 : adler32
    if (headerSum(covered) !== word(tail, nameBytes)) return 'header-checksum'
    const name = new TextDecoder().decode(covered.subarray(LZOP_HEAD_BYTES))
    const mtimeSeconds = word(head, 20) * 2 ** 32 + word(head, 16)
    yield { kind: 'header', header: { name, mode: word(head, 12), mtimeSeconds } }

    const plainSums: Checksum[] = []
    if (flags & LzopFlag.plainAdler32) plainSums.push(adler32)
    if (flags & LzopFlag.plainCrc32) plainSums.push(crc32)
    const compressedSums: Checksum[] = []
    if (flags & LzopFlag.compressedAdler32) compressedSums.push(adler32)
    if (flags & LzopFlag.compressedCrc32) compressedSums.push(crc32)

    let buffer = new Uint8Array(0)
    for (;;) {
      const plainBytes = word(yield 4, 0)
      if (plainBytes === 0) break
      if (plainBytes > LZOP_MAX_BLOCK_BYTES) return 'block-too-large'
      const blockHead = (yield 4 + plainSums.length * 4).slice()
      const compressedBytes = word(blockHead, 0)
      if (compressedBytes > plainBytes) return 'block-lengths'

      let plain: Uint8Array
      if (compressedBytes === plainBytes) {
        plain = yield plainBytes
      } else {
        const sumsBytes = compressedSums.length * 4
        const payload = yield sumsBytes + compressedBytes
        const compressed = payload.subarray(sumsBytes)
        if (!matches(compressedSums, compressed, payload, 0)) return 'compressed-checksum'
        if (buffer.length < plainBytes) buffer = new Uint8Array(plainBytes)
        plain = buffer.subarray(0, plainBytes)
        const fault = this.#codec.decompressInto(compressed, plain)
        if (fault) return fault
      }
      if (!matches(plainSums, plain, blockHead, 4)) return 'plain-checksum'
      yield { kind: 'block', bytes: plain }
    }
    this.#isComplete = true
    yield 1
    return 'trailing-bytes'
  }
}

type Checksum = (bytes: Uint8Array) => number

/** Whether `bytes` have the checksums that stand at `at` in `sums`, a word each. */
const matches = (checksums: readonly Checksum[], bytes: Uint8Array, sums: Uint8Array, at: number): boolean =>
  checksums.every((checksum, index) => checksum(bytes) === word(sums, at + index * 4))
