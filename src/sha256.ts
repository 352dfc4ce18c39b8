import { createHash } from 'node:crypto'

/** SHA-256 (FIPS 180-4) of the concatenation of `parts`: 32 bytes, the caller's. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}
