import { parityCoefficient, parityPoint } from './cauchy.ts'
import { type FecKernel, Kernel, supportedKernels } from './kernel.ts'
import { countSourceSymbols, MAX_SYMBOLS, requireInteger } from './limits.ts'

/**
 * Makes the parity symbols of one frame (the bytes of a slice) at a time. One encoder serves any number of frames, one
 * after the other; it takes 2.1 MiB at the first `load`, and nothing more after that.
 */
export class FecEncoder {
  readonly #kernelName: FecKernel | undefined
  #kernel: Kernel | undefined
  #sourceCount = 0
  #symbolBytes = 0

  /** `kernel`: by default the fastest that this engine has. */
  constructor(options: { readonly kernel?: FecKernel } = {}) {
    this.#kernelName = options.kernel
  }

  /**
   * Copies a frame in, in place of the one before: ceil(frame.length / symbolBytes) source symbols, at most
   * `MAX_SOURCE_SYMBOLS`, the last one filled up with zeros. The caller keeps `frame`.
   *
   * @throws RangeError when the frame is empty, or `symbolBytes` is not an integer from 1 to `MAX_SYMBOL_BYTES`, or the
   * symbols are too many or, together, longer than `MAX_FRAME_BYTES`; the frame before stays loaded.
   */
  load(frame: Uint8Array, symbolBytes: number): void {
    const sourceCount = countSourceSymbols(frame.length, symbolBytes)
    const { sources } = (this.#kernel ??= new Kernel(this.#kernelName ?? supportedKernels()[0]!))
    sources.set(frame)
    sources.fill(0, frame.length, sourceCount * symbolBytes)
    this.#sourceCount = sourceCount
    this.#symbolBytes = symbolBytes
  }

  /**
   * Writes a parity symbol of the loaded frame to `into` at `offset`: `symbolBytes` bytes, the same whichever others
   * are made. Takes one pass over the frame.
   *
   * @param symbolIndex from the number of source symbols to 254
   * @throws TypeError when no frame is loaded, RangeError when there is no such parity symbol or no room for it.
   */
  parityInto(symbolIndex: number, into: Uint8Array, offset: number): void {
    const [kernel, sourceCount, symbolBytes] = [this.#kernel, this.#sourceCount, this.#symbolBytes]
    if (!kernel) throw new TypeError('parityInto was called before load')
    requireInteger('symbolIndex', symbolIndex, sourceCount, MAX_SYMBOLS - 1)
    requireInteger('offset', offset, 0, into.length - symbolBytes)

    const point = parityPoint(symbolIndex, sourceCount)
    for (let c = 0; c < sourceCount; c++) kernel.coefficients[c] = parityCoefficient(point, c)
    kernel.combineInto(sourceCount, symbolBytes, into, offset)
  }
}
