/*
 * A `.lzo` file of lzop: one member, all integers big-endian.
 *
 *      0  9  magic
 *      9  2  version of the lzop that wrote it
 *     11  2  version of its LZO library
 *     13  2  oldest version of lzop that can read it
 *     15  1  method: 1 LZO1X-1, 2 LZO1X-1(15), 3 LZO1X-999: three compressors, one format
 *     16  1  level
 *     17  4  flags
 *     21  4  mode (st_mode)
 *     25  8  time of modification: low word, high word
 *     33  1  length of the name, n
 *     34  n  name
 *      …  4  Adler-32 or CRC-32 of bytes 9 to the end of the name
 *
 * then blocks, then a plain length of 0, after which nothing comes:
 *
 *      0  4  plain length
 *      4  4  compressed length: less than the plain length, or equal when the block is stored
 *      8  …  Adler-32, CRC-32 of the plain bytes, each if its flag is set
 *      …  …  Adler-32, CRC-32 of the compressed bytes, each if its flag is set, unless stored
 *      …  …  compressed (or stored) bytes
 *
 * Source: what lzop 1.04 writes and accepts; test/vectors/lzo has some of it, test/system/lzop.test.ts asks the tool itself.
 */

export const LZOP_MAGIC: Uint8Array = Uint8Array.of(0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a)

/** From the version to the length of the name; offsets in it are those of the table less the 9 bytes of magic. */
export const LZOP_HEAD_BYTES = 25

/** The longest plain block: what lzop 1.04 makes, and the most that it takes. */
export const LZOP_MAX_BLOCK_BYTES = 262_144

export const LzopFlag = {
  plainAdler32: 0x1,
  compressedAdler32: 0x2,
  plainCrc32: 0x100,
  compressedCrc32: 0x200,
  /** The header's own checksum is CRC-32 instead of Adler-32. */
  headerCrc32: 0x1000,
  /** Written on Unix. */
  unix: 0x0300_0000,
} as const

/** Flags of what is not read here: an extra field, a filter of the data (`--filter`), and all that lzop 1.04 reserves. */
export const UNSUPPORTED_FLAGS = 0x000f_c840

/** The version of lzop whose files these are, 1.04, and of its library, 2.10. */
export const LZOP_VERSION = 0x1040
export const LZO_LIBRARY_VERSION = 0x20a0

/** The oldest lzop that reads a header as above (1997), and one that has {@link LzopFlag.headerCrc32}. */
export const OLDEST_VERSION = 0x0940
export const OLDEST_CRC32_VERSION = 0x1001

/** What a file says of the data in it. */
export interface LzopHeader {
  /** The data's file name, at most 255 bytes of UTF-8; empty for a pipe. Foreign text: not to be opened unchecked. */
  readonly name: string
  /** Type and permissions, as in `st_mode`. */
  readonly mode: number
  /** Time of modification, seconds since 1970. */
  readonly mtimeSeconds: number
}

export const word = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0

export function putWord(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 24
  into[at + 1] = value >>> 16
  into[at + 2] = value >>> 8
  into[at + 3] = value
}
