// The code: a systematic Cauchy Reed-Solomon code over GF(2^8).
//
// Every symbol of a slice with k source symbols has a point, an element of the field:
//   source symbol of index c (0 <= c < k):              point c
//   parity symbol of index p (k <= p < 255), row p - k: point 255 - (p - k), which is k + 1 at least
// so no two symbols have the same point. Byte by byte,
//   parity[p] = sum over c of source[c] / (point(p) xor c).
// These coefficients form a Cauchy matrix, of which every square part has an inverse: any k symbols give all the
// others.

import { EXP, invert, LOG } from './galois.ts'

/** The point of the parity symbol of index `symbolIndex`. */
export function parityPoint(symbolIndex: number, sourceCount: number): number {
  return 255 - (symbolIndex - sourceCount)
}

/** What source symbol `sourceIndex` is multiplied by in the parity symbol at `point`. */
export function parityCoefficient(point: number, sourceIndex: number): number {
  return invert(point ^ sourceIndex)
}

/**
 * What the symbols at hand are multiplied by to give the missing ones: row-major, a row of `points.length`
 * coefficients for each of `missing`.
 *
 * `points`: the point of each symbol at hand; at the index of a missing source symbol, that of the parity symbol taken
 * in its place. `missing`: source indexes, all different.
 *
 * With M the missing indexes and X the points of the parity taken, coefficient(m, a) = g(a) / (g(m) * (m + a)), where
 * g(z) = product of (z + m) over M / product of (z + x) over X, factors of 0 left out. Source: Lagrange interpolation.
 * The symbols of the code are values f(point) of one polynomial of degree k - 1, each times a constant of its point;
 * writing f(m) through the k points at hand, all factors that belong to received source symbols cancel. This costs
 * k * |M| steps, and an explicit inverse of the matrix |M|^3 and one more pass over the symbols.
 */
export function recoveryCoefficients(points: Uint8Array, missing: readonly number[]): Uint8Array {
  const weights = points.map((point) => weightLog(point, points, missing))
  const coefficients = new Uint8Array(missing.length * points.length)
  let at = 0
  for (const sourceIndex of missing) {
    const divisor = weightLog(sourceIndex, points, missing)
    for (let n = 0; n < points.length; n++) {
      coefficients[at++] = EXP[(weights[n]! - divisor - LOG[sourceIndex ^ points[n]!]! + 510) % 255]!
    }
  }
  return coefficients
}

/** The logarithm of g(element), 0 to 254. `LOG[0]` being 0 leaves out the factors of 0. */
function weightLog(element: number, points: Uint8Array, missing: readonly number[]): number {
  let sum = 0
  for (const sourceIndex of missing) sum += LOG[element ^ sourceIndex]! + 255 - LOG[element ^ points[sourceIndex]!]!
  return sum % 255
}
