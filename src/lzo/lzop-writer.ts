import { crc32 } from './crc32.ts'
import { Lzo1x } from './lzo1x.ts'
import {
  LZO_LIBRARY_VERSION,
  LZOP_HEAD_BYTES,
  LZOP_MAGIC,
  LZOP_MAX_BLOCK_BYTES,
  LZOP_VERSION,
  LzopFlag,
  OLDEST_CRC32_VERSION,
  OLDEST_VERSION,
  putWord,
} from './lzop-format.ts'

/** The most that a block in the file is longer than its plain bytes. */
export const LZOP_BLOCK_OVERHEAD_BYTES = 12

export interface LzopOptions {
  /** The data's file name: at most 255 bytes of UTF-8, without `/` and NUL; default empty, as for a pipe. */
  readonly name?: string | undefined
  /** Type and permissions, as in `st_mode`; default a regular file that its owner may write and all may read. */
  readonly mode?: number | undefined
  /** Time of modification, seconds since 1970, a safe integer; default 0. */
  readonly mtimeSeconds?: number | undefined
  /** Of each plain block; default `adler32`, as lzop does. With `crc32`, the header is checked by CRC-32 too. */
  readonly checksum?: 'adler32' | 'crc32' | 'none' | undefined
}

/**
 * Writes one `.lzo` file as lzop does: `header()`, any number of blocks, `end()`. Blocks do not depend on each other, so
 * they can be made in any order.
 */
export class LzopWriter {
  readonly #codec: Lzo1x
  readonly #name: Uint8Array
  readonly #mode: number
  readonly #mtimeSeconds: number
  readonly #checksum: 'adler32' | 'crc32' | 'none'

  /** @throws RangeError when an option is out of its range */
  constructor(options: LzopOptions = {}, codec: Lzo1x = new Lzo1x()) {
    const { name = '', mode = 0o100_644, mtimeSeconds = 0, checksum = 'adler32' } = options
    this.#codec = codec
    this.#name = new TextEncoder().encode(name)
    this.#mode = mode
    this.#mtimeSeconds = mtimeSeconds
    this.#checksum = checksum
    if (this.#name.length > 255 || /[/\0]/.test(name))
      throw new RangeError(`name is ${JSON.stringify(name)}, expected at most 255 bytes without / and NUL`)
    if (!(Number.isInteger(mode) && mode >= 0 && mode <= 0xffff_ffff))
      throw new RangeError(`mode is ${mode}, expected an integer of 32 bits`)
    if (!(Number.isSafeInteger(mtimeSeconds) && mtimeSeconds >= 0))
      throw new RangeError(`mtimeSeconds is ${mtimeSeconds}, expected a safe integer from 0 on`)
    if (!Object.hasOwn(CHECKSUM_FLAGS, checksum))
      throw new RangeError(`checksum is ${checksum as string}, expected adler32, crc32 or none`)
  }

  /** What the file begins with. */
  header(): Uint8Array {
    const bytes = new Uint8Array(LZOP_MAGIC.length + LZOP_HEAD_BYTES + this.#name.length + 4)
    bytes.set(LZOP_MAGIC)
    const head = bytes.subarray(LZOP_MAGIC.length, -4)
    const oldest = this.#checksum === 'crc32' ? OLDEST_CRC32_VERSION : OLDEST_VERSION
    putWord(head, 0, (LZOP_VERSION << 16) | LZO_LIBRARY_VERSION)
    putWord(head, 4, (oldest << 16) | (METHOD << 8) | LEVEL)
    putWord(head, 8, LzopFlag.unix | CHECKSUM_FLAGS[this.#checksum])
    putWord(head, 12, this.#mode)
    putWord(head, 16, this.#mtimeSeconds % 2 ** 32)
    putWord(head, 20, Math.floor(this.#mtimeSeconds / 2 ** 32))
    head[24] = this.#name.length
    head.set(this.#name, LZOP_HEAD_BYTES)
    putWord(bytes, bytes.length - 4, this.#checksum === 'crc32' ? crc32(head) : this.#codec.adler32(head))
    return bytes
  }

  /**
   * Writes one block of `plain`, 1 to {@link LZOP_MAX_BLOCK_BYTES} bytes, to the start of `into`, which has room for
   * {@link LZOP_BLOCK_OVERHEAD_BYTES} more and is other memory. Returns the length. What does not get smaller is stored.
   *
   * @throws RangeError when `plain` or `into` has another length
   */
  blockInto(plain: Uint8Array, into: Uint8Array): number {
    if (plain.length < 1 || plain.length > LZOP_MAX_BLOCK_BYTES)
      throw new RangeError(`plain has ${plain.length} bytes, expected 1 to ${LZOP_MAX_BLOCK_BYTES}`)
    if (into.length < plain.length + LZOP_BLOCK_OVERHEAD_BYTES)
      throw new RangeError(
        `into has ${into.length} bytes, expected ${plain.length + LZOP_BLOCK_OVERHEAD_BYTES} or more`,
      )
    const start = this.#checksum === 'none' ? 8 : 12
    const payload = into.subarray(start)
    const compressedBytes = this.#codec.compressInto(plain, payload)
    if (compressedBytes === undefined) payload.set(plain)
    const payloadBytes = compressedBytes ?? plain.length
    putWord(into, 0, plain.length)
    putWord(into, 4, payloadBytes)
    if (this.#checksum !== 'none')
      putWord(into, 8, this.#checksum === 'crc32' ? crc32(plain) : this.#codec.adler32(plain))
    return start + payloadBytes
  }

  /** What the file ends with. */
  end(): Uint8Array {
    return new Uint8Array(4)
  }
}

/** LZO1X-1 at lzop's default level. */
const METHOD = 1
const LEVEL = 5

const CHECKSUM_FLAGS = {
  adler32: LzopFlag.plainAdler32,
  crc32: LzopFlag.plainCrc32 | LzopFlag.headerCrc32,
  none: 0,
} as const
