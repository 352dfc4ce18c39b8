// NH, the universal hash of UMAC (RFC 4418 section 5.2.2), over one block of any length, with 32-bit words in little-endian order.
// All buffers are here, of fixed size, and exported as addresses; the caller checks every length before it calls.

/** The longest UDP payload over IPv4 (65,507 bytes), rounded up to whole steps of 32. */
export const CAPACITY: usize = 65536

/** Key words; as many as the message has. */
export const KEY: usize = memory.data(65536, 64)

/** The message, then zeros up to a whole step. */
export const MESSAGE: usize = memory.data(65536, 64)

/** The hash: 8 bytes. */
export const OUTPUT: usize = memory.data(8, 16)

/** Hashes the message, whose length, rounded up to a multiple of 32, is `lengthBytes`, and adds `high` · 2^32 + `low`. */
export function hash(lengthBytes: usize, low: u32, high: u32): void {
  let sum0 = i64x2.splat(0)
  let sum1 = sum0
  for (let at: usize = 0; at < lengthBytes; at += 32) {
    const left = i32x4.add(v128.load(MESSAGE + at), v128.load(KEY + at))
    const right = i32x4.add(v128.load(MESSAGE + at, 16), v128.load(KEY + at, 16))
    sum0 = i64x2.add(sum0, i64x2.extmul_low_i32x4_u(left, right))
    sum1 = i64x2.add(sum1, i64x2.extmul_high_i32x4_u(left, right))
  }
  const sum = i64x2.add(sum0, sum1)
  const total = <u64>i64x2.extract_lane(sum, 0) + <u64>i64x2.extract_lane(sum, 1)
  store<u64>(OUTPUT, total + ((<u64>high << 32) | <u64>low))
}
