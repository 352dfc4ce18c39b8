import { WASM_BASE64 } from './generated/lzo1x.ts'

/** One instance of `assembly/lzo1x.ts`. Nothing in it checks the lengths that it is given: the caller does. */
export interface Kernel {
  /** What the functions below read: `MAX_BLOCK_BYTES` bytes. */
  readonly input: Uint8Array
  /** What they write: as many. */
  readonly output: Uint8Array
  /** Compresses so many bytes of `input`. Returns the compressed length, 0 when it would exceed `limit`. */
  readonly compress: (lengthBytes: number, limitBytes: number) => number
  /** Decompresses so many bytes of `input`. Returns the plain length, at most `capacityBytes`, or a fault: -1, -2, … */
  readonly decompress: (lengthBytes: number, capacityBytes: number) => number
  /** Continues the checksum `adler` over so many bytes of `input`. */
  readonly adler32: (adler: number, lengthBytes: number) => number
}

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer }
  readonly INPUT: { readonly value: number }
  readonly OUTPUT: { readonly value: number }
  readonly MAX_BLOCK_BYTES: { readonly value: number }
  readonly compress: (length: number, limit: number) => number
  readonly decompress: (length: number, capacity: number) => number
  readonly adler32: (adler: number, pointer: number, length: number) => number
}

/** As much of WebAssembly's JavaScript interface as is used here; TypeScript knows it with the browser's types only. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: unknown }
}

let module: object | undefined

/** An instance has a fixed memory of 2.1 MiB, of which only what is used becomes resident. The first one takes about 1 ms. */
export function createKernel(): Kernel {
  module ??= new WebAssembly.Module(Uint8Array.from(atob(WASM_BASE64), (character) => character.charCodeAt(0)))
  const exports = new WebAssembly.Instance(module).exports as Exports
  const { memory, INPUT, OUTPUT, MAX_BLOCK_BYTES, compress, decompress, adler32 } = exports
  return {
    input: new Uint8Array(memory.buffer, INPUT.value, MAX_BLOCK_BYTES.value),
    output: new Uint8Array(memory.buffer, OUTPUT.value, MAX_BLOCK_BYTES.value),
    compress,
    decompress,
    adler32: (adler, lengthBytes) => adler32(adler, INPUT.value, lengthBytes) >>> 0,
  }
}
