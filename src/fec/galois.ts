// GF(2^8): bytes as polynomials over GF(2), modulo POLYNOMIAL. Addition and subtraction are xor.

/** x^8 + x^4 + x^3 + x^2 + 1. Modulo this, the powers of 2 are all 255 elements other than 0. */
const POLYNOMIAL = 0x11d

/** `EXP[n]` is 2^n for n = 0..509, so that the sum of two logarithms needs no modulo. */
export const EXP: Uint8Array = new Uint8Array(510)

/** `LOG[a]` is the n of 0..254 for which 2^n is `a`. 0 has no logarithm: `LOG[0]` is 0, as if it were 1. */
export const LOG: Uint8Array = new Uint8Array(256)

let power = 1
for (let n = 0; n < 255; n++) {
  EXP[n] = power
  EXP[n + 255] = power
  LOG[power] = n
  power <<= 1
  if (power > 255) power ^= POLYNOMIAL
}

export function multiply(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : EXP[LOG[a]! + LOG[b]!]!
}

/** 1 / a, for `a` from 1 to 255. */
export function invert(a: number): number {
  return EXP[255 - LOG[a]!]!
}
