/** A source of uniform random numbers in [0, 1). Pure folders take one as an argument, so that a seed repeats a run. */
export type Random = () => number

/**
 * A small seeded generator (mulberry32: 32-bit state, passes gjrand's tests; not for secrets).
 * @param seed any integer; taken modulo 2^32
 */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
