import { createKernel, type Kernel } from './kernel.ts'

/** The longest block, plain or compressed, that {@link Lzo1x} takes: 1 MiB, the largest slice. Bounds the kernel's fixed memory. */
export const MAX_BLOCK_BYTES = 1_048_576

/**
 * Why a stream was refused: it ends too early; holds more plain bytes than expected, or fewer; points back beyond its start;
 * goes on after its end mark; is longer than {@link MAX_BLOCK_BYTES}.
 */
export type LzoFault =
  'input-overrun' | 'output-overrun' | 'short-output' | 'lookbehind-overrun' | 'trailing-input' | 'input-too-long'

/**
 * The codec LZO1X, bit for bit what `lzo1x_decompress_safe` of the LZO library reads. Each block stands alone, with the end mark
 * 11 00 00. Holds no state between calls, so one instance serves any number of streams of a thread; each has 2.1 MiB of memory.
 *
 * Source: the format as described in the Linux kernel's Documentation/staging/lzo.rst.
 */
export class Lzo1x {
  readonly #kernel: Kernel = createKernel()

  /**
   * Compresses `source` (at most {@link MAX_BLOCK_BYTES}) to the start of `into`.
   *
   * Returns the compressed length, or undefined when that would not be less than `source.length`, or more than `into.length`: a
   * caller who wants to save at least a tenth gives a shorter `into`. The search runs ever faster over data that does not
   * compress. The buffers stay the caller's and may overlap; `into` changes only on success.
   *
   * @throws RangeError when `source` is too long
   */
  compressInto(source: Uint8Array, into: Uint8Array): number | undefined {
    checkLength('source', source)
    const { input, output, compress } = this.#kernel
    input.set(source)
    const lengthBytes = compress(source.length, Math.max(0, Math.min(source.length - 1, into.length)))
    if (lengthBytes === 0) return undefined
    into.set(output.subarray(0, lengthBytes))
    return lengthBytes
  }

  /**
   * Decompresses `source` to fill `into` exactly, whose length (at most {@link MAX_BLOCK_BYTES}) is the plain length.
   *
   * Returns undefined on success, else why not: no `source` makes it throw. The buffers stay the caller's and may overlap;
   * `into` changes only on success.
   *
   * @throws RangeError when `into` is too long
   */
  decompressInto(source: Uint8Array, into: Uint8Array): LzoFault | undefined {
    checkLength('into', into)
    if (source.length > MAX_BLOCK_BYTES) return 'input-too-long'
    const { input, output, decompress } = this.#kernel
    input.set(source)
    const result = decompress(source.length, into.length)
    if (result < 0) return KERNEL_FAULTS[-result - 1]
    if (result < into.length) return 'short-output'
    into.set(output.subarray(0, result))
    return undefined
  }

  /** Adler-32 (RFC 1950, section 8.2) of `bytes`, of any length: the checksum that `.lzo` files use. */
  adler32(bytes: Uint8Array): number {
    let adler = 1
    for (let start = 0; start < bytes.length; start += MAX_BLOCK_BYTES) {
      const part = bytes.subarray(start, start + MAX_BLOCK_BYTES)
      this.#kernel.input.set(part)
      adler = this.#kernel.adler32(adler, part.length)
    }
    return adler
  }
}

/** By the kernel's result: -1, -2, … */
const KERNEL_FAULTS: readonly LzoFault[] = ['input-overrun', 'output-overrun', 'lookbehind-overrun', 'trailing-input']

function checkLength(label: string, bytes: Uint8Array): void {
  if (bytes.length <= MAX_BLOCK_BYTES) return
  throw new RangeError(`${label} has ${bytes.length} bytes, expected at most ${MAX_BLOCK_BYTES}`)
}
