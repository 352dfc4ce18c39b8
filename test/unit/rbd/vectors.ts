import { readFileSync } from 'node:fs'

export interface RbdVector {
  readonly file: string
  readonly command: string
  /** Of the whole image in the state that the stream leads to. */
  readonly sha256: string
}

const read = (file: string): Uint8Array => readFileSync(new URL(`../../vectors/rbd/${file}`, import.meta.url))

export const RBD_VECTORS: readonly RbdVector[] = (
  JSON.parse(new TextDecoder().decode(read('vectors.json'))) as { readonly vectors: readonly RbdVector[] }
).vectors

export const readRbdVector = (file: string): Uint8Array => new Uint8Array(read(file))
