import { parityPoint, recoveryCoefficients } from './cauchy.ts'
import { type FecKernel, Kernel, supportedKernels } from './kernel.ts'
import { countSourceSymbols, MAX_SYMBOLS, requireInteger } from './limits.ts'

/**
 * A received parity symbol. `bytes` are as long as a symbol and only read; they may lie in the frame, in the place of a
 * missing symbol.
 */
export interface ParitySymbol {
  readonly symbolIndex: number
  readonly bytes: Uint8Array
}

/**
 * Rebuilds lost source symbols. One decoder serves any number of frames, one after the other, and keeps nothing of
 * them; it takes 2.1 MiB at the first `decode` that has something to rebuild, and nothing more after that.
 */
export class FecDecoder {
  readonly #kernelName: FecKernel | undefined
  #kernel: Kernel | undefined

  /** `kernel`: by default the fastest that this engine has. */
  constructor(options: { readonly kernel?: FecKernel } = {}) {
    this.#kernelName = options.kernel
  }

  /**
   * Rebuilds the missing source symbols of a frame in their places. Takes one pass over the frame for each.
   *
   * The code does not detect errors: from wrong bytes it rebuilds wrong bytes.
   *
   * @param frame the source symbols back to back, the last one filled up with zeros as the encoder had it: whole
   * symbols of `symbolBytes` each. What the places of missing symbols hold beforehand does not matter.
   * @param missing indexes of the source symbols that were not received, in any order
   * @param parity at least `missing.length` different parity symbols, of which the first `missing.length` are used
   * @throws RangeError when the frame is not whole symbols or is beyond the limits of `FecEncoder.load`, when parity
   * is too little or not of the symbols' length, or when an index is out of range or given twice; `frame` is unchanged
   * then.
   */
  decode(frame: Uint8Array, symbolBytes: number, missing: readonly number[], parity: readonly ParitySymbol[]): void {
    const sourceCount = countSourceSymbols(frame.length, symbolBytes)
    if (frame.length !== sourceCount * symbolBytes) {
      throw new RangeError(`frame has ${frame.length} bytes, expected a multiple of symbolBytes (${symbolBytes})`)
    }
    const used = parity.slice(0, missing.length)
    checkSymbols(sourceCount, symbolBytes, missing, used)
    if (missing.length === 0) return

    const { sources, coefficients } = (this.#kernel ??= new Kernel(this.#kernelName ?? supportedKernels()[0]!))
    sources.set(frame)
    const points = Uint8Array.from({ length: sourceCount }, (_, c) => c)
    for (const [n, { symbolIndex, bytes }] of used.entries()) {
      sources.set(bytes, missing[n]! * symbolBytes)
      points[missing[n]!] = parityPoint(symbolIndex, sourceCount)
    }

    const rows = recoveryCoefficients(points, missing)
    for (const [n, sourceIndex] of missing.entries()) {
      coefficients.set(rows.subarray(n * sourceCount, (n + 1) * sourceCount))
      this.#kernel.combineInto(sourceCount, symbolBytes, frame, sourceIndex * symbolBytes)
    }
  }
}

function checkSymbols(
  sourceCount: number,
  symbolBytes: number,
  missing: readonly number[],
  parity: readonly ParitySymbol[],
): void {
  if (parity.length < missing.length) {
    throw new RangeError(`parity has ${parity.length} symbols, expected ${missing.length}, as many as are missing`)
  }
  for (const sourceIndex of missing) requireInteger('Index of a missing symbol', sourceIndex, 0, sourceCount - 1)
  for (const { symbolIndex, bytes } of parity) {
    requireInteger('Index of a parity symbol', symbolIndex, sourceCount, MAX_SYMBOLS - 1)
    if (bytes.length !== symbolBytes) {
      throw new RangeError(`Parity symbol ${symbolIndex} has ${bytes.length} bytes, expected ${symbolBytes}`)
    }
  }
  if (new Set(missing).size < missing.length) throw new RangeError('missing names a source symbol twice')
  if (new Set(parity.map(({ symbolIndex }) => symbolIndex)).size < parity.length) {
    throw new RangeError('parity holds a parity symbol twice')
  }
}
