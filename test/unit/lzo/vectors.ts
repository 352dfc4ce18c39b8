import { readFileSync } from 'node:fs'

export interface LzopVector {
  readonly file: string
  readonly name: string
  readonly plainBytes: number
}

const read = (file: string): Uint8Array => readFileSync(new URL(`../../vectors/lzo/${file}`, import.meta.url))

const mixed = read('mixed.bin')

export const LZOP_VECTORS: readonly LzopVector[] = (
  JSON.parse(new TextDecoder().decode(read('vectors.json'))) as { readonly vectors: readonly LzopVector[] }
).vectors

export const readLzopVector = (file: string): Uint8Array => read(file)

/** The data from which lzop made a vector of that length. */
export const plainOf = (plainBytes: number): Uint8Array => Buffer.alloc(plainBytes, mixed)
