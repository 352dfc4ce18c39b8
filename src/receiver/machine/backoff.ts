import type { Random } from '../../random.ts'

/** Deficit at which the bias reaches half its strength, symbols. Ours. */
const BIAS_HALF_SYMBOLS = 8

/** Most of the backoff that a large deficit saves. Ours. */
const BIAS_STRENGTH = 0.5

/**
 * Draws a backoff in microseconds, 0 to `windowUs`: truncated exponential (RFC 5401, algorithm "RandomBackoff"), so that in a
 * group of any size only a few receivers draw a short one. Deviation: it is shortened, by up to half, for larger deficits, since
 * the largest NACK suppresses the most others.
 */
export function drawBackoffUs(random: Random, windowUs: number, groupCount: number, deficit: number): number {
  if (windowUs <= 0) return 0
  const lambda = Math.log(Math.max(1, groupCount)) + 1
  const share = Math.log1p(random() * Math.expm1(lambda)) / lambda
  const bias = BIAS_STRENGTH * (deficit / (deficit + BIAS_HALF_SYMBOLS))
  return Math.round(windowUs * share * (1 - bias))
}
