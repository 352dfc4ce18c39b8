import * as zlib from 'node:zlib'
import { Lzo1x } from '../lzo/index.ts'
import { Codec, DIGEST_COVERS_FROM, DIGEST_OFFSET, FRAME_HEADER_BYTES, type DigestKind } from '../protocol/index.ts'
import { sliceDigest } from '../digest.ts'

/** zstd's fastest level with its usual ratio. (Level -1 is silently taken for the default, 3.) */
const ZSTD_LEVEL = 1

type ZstdCompress = (bytes: Uint8Array, options: { params: Record<number, number> }) => Uint8Array

/** Node.js 22.15 and newer have zstd; the types that this project builds against are older. */
const zstd = zlib as unknown as {
  readonly zstdCompressSync?: ZstdCompress
  readonly constants: { readonly ZSTD_c_compressionLevel?: number }
}

/** Whether this Node.js can compress with zstd. */
export const canCompressZstd = (): boolean => zstd.zstdCompressSync !== undefined

/** Digests and compresses frames where they lie. Holds no state between calls; with LZO it has 2.1 MiB of memory. */
export class FrameEncoder {
  readonly #codec: Codec
  readonly #digestKind: DigestKind
  readonly #lzo: Lzo1x | undefined

  constructor(codec: Codec, digestKind: DigestKind) {
    this.#codec = codec
    this.#digestKind = digestKind
    if (codec === Codec.lzo) this.#lzo = new Lzo1x()
  }

  /**
   * Sets the digest of a frame, and compresses its data where that makes it shorter.
   * @param frame a head with the codec `none`, `headBytes` long, then the plain data; changed in place
   * @returns how long the frame is now
   */
  encode(frame: Uint8Array, headBytes: number): number {
    // Runs and plain data lie back to back.
    const head = frame.subarray(DIGEST_COVERS_FROM, DIGEST_OFFSET)
    frame.set(sliceDigest[this.#digestKind](head, frame.subarray(FRAME_HEADER_BYTES)), DIGEST_OFFSET)
    const payloadBytes = this.#compressInPlace(frame.subarray(headBytes))
    if (payloadBytes === undefined) return frame.length
    frame[0] = this.#codec
    return headBytes + payloadBytes
  }

  /** @returns bytes of the payload, which takes the place of the plain data, or undefined when it would not be shorter */
  #compressInPlace(plain: Uint8Array): number | undefined {
    if (this.#codec === Codec.none) return undefined
    if (this.#lzo !== undefined) return this.#lzo.compressInto(plain, plain)
    const params = { [zstd.constants.ZSTD_c_compressionLevel ?? 100]: ZSTD_LEVEL }
    const packed = zstd.zstdCompressSync!(plain, { params })
    if (packed.length >= plain.length) return undefined
    plain.set(packed)
    return packed.length
  }
}
