// Adler-32 (RFC 1950, section 8.2), 16 bytes at a time.

const MODULUS: u32 = 65521
/** So many vectors fit before a 32-bit sum can overflow: 345 * 16 <= 5552, the bound for single bytes. */
const VECTORS_PER_ROUND: u32 = 345

// @ts-ignore: decorator
@inline
function sumOf(v: v128): u32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3)
}

/** Continues the checksum `adler` (1 to begin with) over `length` bytes at `pointer`. */
export function adler32(adler: u32, pointer: usize, length: u32): u32 {
  let a = adler & 0xffff
  let b = adler >> 16
  const highWeights = i16x8(16, 15, 14, 13, 12, 11, 10, 9)
  const lowWeights = i16x8(8, 7, 6, 5, 4, 3, 2, 1)
  while (length >= 16) {
    const vectors = min(length >> 4, VECTORS_PER_ROUND)
    length -= vectors << 4
    // Per lane: the sum of bytes; the sum of that sum before each vector; the weighted sum inside the vectors.
    let sums = i32x4.splat(0)
    let sumsBefore = i32x4.splat(0)
    let weighted = i32x4.splat(0)
    for (let i: u32 = 0; i < vectors; i++) {
      const bytes = v128.load(pointer)
      pointer += 16
      sumsBefore = i32x4.add(sumsBefore, sums)
      sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(bytes)))
      weighted = i32x4.add(weighted, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(bytes), highWeights))
      weighted = i32x4.add(weighted, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(bytes), lowWeights))
    }
    b = <u32>(
      ((<u64>b + <u64>a * <u64>(vectors << 4) + (<u64>sumOf(sumsBefore) << 4) + <u64>sumOf(weighted)) % MODULUS)
    )
    a = (a + sumOf(sums)) % MODULUS
  }
  for (; length; length--) {
    a = (a + load<u8>(pointer++)) % MODULUS
    b = (b + a) % MODULUS
  }
  return (b << 16) | a
}
