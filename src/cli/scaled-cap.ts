import { LEAST_BITS_PER_SEC, MAX_BITS_PER_SEC } from '../ratelimit/index.ts'

/**
 * The cap after it was doubled or halved, whole bits per second within the library's bounds.
 * @param capBitsPerSec present cap; undefined: none, so that the present rate is what is scaled
 */
export function scaledCap(capBitsPerSec: number | undefined, rateBitsPerSec: number, factor: number): number {
  const scaled = Math.round((capBitsPerSec ?? rateBitsPerSec) * factor)
  return Math.min(MAX_BITS_PER_SEC, Math.max(LEAST_BITS_PER_SEC, scaled))
}
