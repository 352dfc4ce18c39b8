/**
 * Symbols of one slice, source and parity together: each has a point of its own among 256 (see cauchy.ts), one is
 * spare.
 */
export const MAX_SYMBOLS = 255

/** Source symbols of one slice. Our choice: leaves room for 32 parity symbols at least. */
export const MAX_SOURCE_SYMBOLS = 223

/** Length of a symbol in bytes: the longest UDP payload over IPv4 (65535, less 20 of IP and 8 of UDP header). */
export const MAX_SYMBOL_BYTES = 65_507

/** Source symbols times length of a symbol, in bytes: what a kernel has memory for. Our choice. */
export const MAX_FRAME_BYTES = 2_097_152

/** @throws RangeError unless `value` is an integer from `min` to `max`. */
export function requireInteger(label: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${label} is ${value}, expected an integer from ${min} to ${max}`)
  }
}

/**
 * The number of source symbols that a frame fills, the last one perhaps in part.
 * @throws RangeError for an empty frame, or one beyond `MAX_SOURCE_SYMBOLS` or `MAX_FRAME_BYTES`, or a `symbolBytes`
 * that is not an integer from 1 to `MAX_SYMBOL_BYTES`.
 */
export function countSourceSymbols(frameBytes: number, symbolBytes: number): number {
  requireInteger('symbolBytes', symbolBytes, 1, MAX_SYMBOL_BYTES)
  const sourceCount = Math.ceil(frameBytes / symbolBytes)
  requireInteger('Number of source symbols', sourceCount, 1, MAX_SOURCE_SYMBOLS)
  requireInteger('Bytes of all source symbols', sourceCount * symbolBytes, 1, MAX_FRAME_BYTES)
  return sourceCount
}
