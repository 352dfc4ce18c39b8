/** CRC-32 of ISO 3309 (RFC 1952, section 8; the one of gzip and zip) of `bytes`. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff
  let at = 0
  for (const wholeEnd = bytes.length - 3; at < wholeEnd; at += 4) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    crc =
      TABLES[768 + (crc & 0xff)]! ^
      TABLES[512 + ((crc >>> 8) & 0xff)]! ^
      TABLES[256 + ((crc >>> 16) & 0xff)]! ^
      TABLES[crc >>> 24]!
  }
  for (; at < bytes.length; at++) crc = TABLES[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

/** The polynomial of the standard, lowest bit first. */
const POLYNOMIAL = 0xedb88320

/** Entry 256 k + b: what byte b becomes after k more bytes of zero. */
const TABLES = new Int32Array(1024)
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0)
  TABLES[byte] = crc
}
for (let at = 256; at < 1024; at++) {
  const before = TABLES[at - 256]!
  TABLES[at] = TABLES[before & 0xff]! ^ (before >>> 8)
}
