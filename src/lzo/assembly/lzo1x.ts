// LZO1X, bitstream version 0, as described in the Linux kernel's Documentation/staging/lzo.rst: a compressor of the kind of
// LZO1X-1 (one hash probe per position) and a decompressor that is safe with any input.
//
// The buffers are fixed: the caller puts the source at INPUT and finds the result at OUTPUT. Loops copy 16 bytes at a time, so they
// read and write up to SLACK_BYTES after the end of what they were asked for; the buffers have room for that.
export { adler32 } from './adler32'

export const MAX_BLOCK_BYTES: u32 = 1 << 20

/** Room after each buffer: a whole step of the widest copy, and of the longest run of length bytes (one per 255). */
const SLACK_BYTES: u32 = MAX_BLOCK_BYTES / 128 + 64

/** Low 16 bits of the position where a sequence was last seen. A stale entry costs a comparison, never correctness. */
const TABLE_BITS: u32 = 14
const TABLE: usize = memory.data(2 << TABLE_BITS, 16)

/** Row d (16 bytes): the index modulo d, to spread a pattern of d bytes over a vector. */
const PATTERNS: usize = memory.data(16 * 16, 16)
for (let distance = 1; distance < 16; distance++) {
  for (let i = 0; i < 16; i++) store<u8>(PATTERNS + distance * 16 + i, i % distance)
}

export const INPUT: usize = memory.data(MAX_BLOCK_BYTES + SLACK_BYTES, 16)
export const OUTPUT: usize = memory.data(MAX_BLOCK_BYTES + SLACK_BYTES, 16)

// Faults of `decompress`, in the order of KERNEL_FAULTS in ../lzo1x.ts.
const INPUT_OVERRUN: i32 = -1
const OUTPUT_OVERRUN: i32 = -2
const LOOKBEHIND_OVERRUN: i32 = -3
const TRAILING_INPUT: i32 = -4

/** The farthest that the format can point back. */
const MAX_DISTANCE: u32 = 49151
/** Matches start at least this far before the end, so that hashing needs no check of bounds. */
const TAIL_BYTES: u32 = 12
/** Each miss lengthens the search step by 1/32 byte, so that incompressible data passes at the speed of memory. */
const STEP_SHIFT: u32 = 5

/** Address of the table entry for the first five of eight bytes (Fibonacci hashing). */
// @ts-ignore: decorator
@inline
function entryOf(sequence: u64): usize {
  return TABLE + (<usize>(((sequence << 24) * 0x9e3779b97f4a7c15) >> (64 - TABLE_BITS)) << 1)
}

/** Copies at least `count` bytes, and up to 15 (of `count` 0: 16) more. */
// @ts-ignore: decorator
@inline
function copyAtLeast(to: usize, from: usize, count: usize): void {
  const end = to + count
  do {
    v128.store(to, v128.load(from))
    to += 16
    from += 16
  } while (to < end)
}

/** Length byte(s) that say `length` >= 1: a zero byte for each 255, then the rest (1..255). Returns where they end. */
function putLength(op: usize, length: usize): usize {
  while (length > 255) {
    store<u8>(op++, 0)
    length -= 255
  }
  store<u8>(op++, length as u32)
  return op
}

/** Puts `count` >= 1 literals. Up to three go into the two lowest bits of the match before them. */
function putLiterals(op: usize, from: usize, count: usize): usize {
  if (op == OUTPUT && count <= 238) {
    store<u8>(op++, <u32>count + 17)
  } else if (op != OUTPUT && count <= 3) {
    store<u8>(op - 2, load<u8>(op - 2) | <u32>count)
    store<u32>(op, load<u32>(from))
    return op + count
  } else if (count <= 18) {
    store<u8>(op++, <u32>count - 3)
  } else {
    store<u8>(op++, 0)
    op = putLength(op, count - 18)
  }
  copyAtLeast(op, from, count)
  return op + count
}

/** Puts a match of `length` >= 3 bytes, `distance` 1..MAX_DISTANCE back, with no literals after it so far. */
// @ts-ignore: decorator
@inline
function putMatch(op: usize, length: u32, distance: u32): usize {
  if (length <= 8 && distance <= 2048) {
    distance--
    store<u8>(op, ((length - 1) << 5) | ((distance & 7) << 2))
    store<u8>(op, distance >> 3, 1)
    return op + 2
  }
  let opcode: u32
  let longest: u32
  if (distance <= 16384) {
    distance--
    opcode = 0x20
    longest = 33
  } else {
    distance -= 16384
    opcode = 0x10 | ((distance >> 11) & 8)
    longest = 9
  }
  if (length <= longest) {
    store<u8>(op++, opcode | (length - 2))
  } else {
    store<u8>(op++, opcode)
    op = putLength(op, length - longest)
  }
  store<u16>(op, distance << 2)
  return op + 2
}

/** Where the bytes at `ip` and at `mp` < `ip` stop being equal, as an address after `ip`. */
// @ts-ignore: decorator
@inline
function matchEnd(ip: usize, mp: usize, end: usize): usize {
  while (ip + 8 <= end) {
    const difference = load<u64>(ip) ^ load<u64>(mp)
    if (difference) return ip + <usize>(ctz(difference) >> 3)
    ip += 8
    mp += 8
  }
  while (ip < end && load<u8>(ip) == load<u8>(mp)) {
    ip++
    mp++
  }
  return ip
}

/** Compresses `length` bytes. Returns the compressed length, or 0 when that is more than `limit` <= MAX_BLOCK_BYTES. */
export function compress(length: u32, limit: u32): u32 {
  const end = INPUT + length
  // The farthest that the stream may reach, as the end mark of 3 bytes follows.
  const last = OUTPUT + limit - 3
  let op = OUTPUT
  let anchor = INPUT
  if (length > TAIL_BYTES) {
    const searchEnd = end - TAIL_BYTES
    memory.fill(TABLE, 0, 2 << TABLE_BITS)
    // Position 0 is what an empty entry points at; a stream has to begin with a literal anyhow.
    let ip = INPUT + 1
    let step: usize = 1 << STEP_SHIFT
    while (ip < searchEnd) {
      const sequence = load<u64>(ip)
      const entry = entryOf(sequence)
      const position = (ip - INPUT) as u32
      const distance: u32 = (position - load<u16>(entry)) & 0xffff
      store<u16>(entry, position)
      // An entry is of an earlier position, so no distance reaches before INPUT; that of an empty entry leads there.
      if (distance - 1 >= MAX_DISTANCE || load<u32>(ip - distance) != <u32>sequence) {
        ip += step >> STEP_SHIFT
        step++
        continue
      }
      const matched = matchEnd(ip + 4, ip + 4 - distance, end)
      const floor = max(anchor, INPUT + distance)
      while (ip > floor && load<u8>(ip - 1) == load<u8>(ip - 1 - distance)) ip--
      if (op + (ip - anchor) > last) return 0
      if (ip != anchor) op = putLiterals(op, anchor, ip - anchor)
      op = putMatch(op, (matched - ip) as u32, distance)
      if (matched < searchEnd) store<u16>(entryOf(load<u64>(matched - 2)), (matched - 2 - INPUT) as u32)
      ip = anchor = matched
      step = 1 << STEP_SHIFT
    }
  }
  if (op + (end - anchor) > last) return 0
  if (anchor < end) op = putLiterals(op, anchor, end - anchor)
  if (op > last) return 0
  store<u8>(op, 17)
  store<u16>(op, 0, 1)
  return (op + 3 - OUTPUT) as u32
}

/** What `takeLength` has read. */
let lengthRead: usize = 0

/** Reads from `ip` on what `putLength` writes, into `lengthRead`. Returns where that ends, or 0 when `end` comes first. */
function takeLength(ip: usize, end: usize): usize {
  let length: usize = 0
  while (ip < end) {
    const byte: usize = load<u8>(ip++)
    if (byte) {
      lengthRead = length + byte
      return ip
    }
    length += 255
  }
  return 0
}

/** Copies a match to `op`, at least `length` bytes and up to 15 more. */
// @ts-ignore: decorator
@inline
function copyMatch(op: usize, distance: usize, length: usize): void {
  if (distance >= 16) return copyAtLeast(op, op - distance, length)
  // Only the first `distance` bytes are there yet: they are the pattern.
  const pattern = i8x16.swizzle(v128.load(op - distance), v128.load(PATTERNS + (distance << 4)))
  v128.store(op, pattern)
  if (length <= 16) return
  const step: usize = 16 - (16 % distance)
  const end = op + length
  for (op += step; op < end; op += step) v128.store(op, pattern)
}

/**
 * Decompresses `length` <= MAX_BLOCK_BYTES bytes to at most `capacity` <= MAX_BLOCK_BYTES.
 * Returns the plain length, or a fault (< 0).
 */
export function decompress(length: u32, capacity: u32): i32 {
  let ip = INPUT
  let op = OUTPUT
  const inputEnd = ip + length
  const outputEnd = op + capacity
  // What came last: 0 a match with no literals, 1..3 that many literals after a match, 4 a run of literals.
  let state: usize = 0
  if (length == 0) return INPUT_OVERRUN
  let opcode: usize = load<u8>(ip)
  if (opcode > 17) {
    const count = opcode - 17
    ip++
    if (count > inputEnd - ip) return INPUT_OVERRUN
    if (count > outputEnd - op) return OUTPUT_OVERRUN
    copyAtLeast(op, ip, count)
    ip += count
    op += count
    state = min(count, 4)
  }
  while (ip < inputEnd) {
    opcode = load<u8>(ip++)
    let matchLength: usize
    let distance: usize
    let literals: usize
    if (opcode >= 64) {
      matchLength = (opcode >> 5) + 1
      distance = (<usize>load<u8>(ip++) << 3) + ((opcode >> 2) & 7) + 1
      literals = opcode & 3
    } else if (opcode >= 16) {
      const mask: usize = opcode >= 32 ? 31 : 7
      matchLength = opcode & mask
      if (matchLength == 0) {
        ip = takeLength(ip, inputEnd)
        if (!ip) return INPUT_OVERRUN
        matchLength = lengthRead + mask
      }
      matchLength += 2
      const word: usize = load<u16>(ip)
      ip += 2
      literals = word & 3
      distance = word >> 2
      if (opcode >= 32) {
        distance++
      } else {
        distance += (opcode & 8) << 11
        if (distance == 0) {
          if (ip > inputEnd) return INPUT_OVERRUN
          return ip < inputEnd ? TRAILING_INPUT : <i32>(op - OUTPUT)
        }
        distance += 16384
      }
    } else if (state == 0) {
      let count = opcode + 3
      if (opcode == 0) {
        ip = takeLength(ip, inputEnd)
        if (!ip) return INPUT_OVERRUN
        count = lengthRead + 18
      }
      if (count > inputEnd - ip) return INPUT_OVERRUN
      if (count > outputEnd - op) return OUTPUT_OVERRUN
      copyAtLeast(op, ip, count)
      ip += count
      op += count
      state = 4
      continue
    } else {
      matchLength = 2
      distance = (<usize>load<u8>(ip++) << 2) + (opcode >> 2) + 1
      literals = opcode & 3
      if (state == 4) {
        matchLength = 3
        distance += 2048
      }
    }
    if (ip > inputEnd) return INPUT_OVERRUN
    if (distance > op - OUTPUT) return LOOKBEHIND_OVERRUN
    if (matchLength > outputEnd - op) return OUTPUT_OVERRUN
    copyMatch(op, distance, matchLength)
    op += matchLength
    state = literals
    if (literals) {
      if (literals > inputEnd - ip) return INPUT_OVERRUN
      if (literals > outputEnd - op) return OUTPUT_OVERRUN
      store<u32>(op, load<u32>(ip))
      ip += literals
      op += literals
    }
  }
  return INPUT_OVERRUN
}
