import { compileWasm, type WasmMemory, type WasmNumber } from '../wasm.ts'
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
  readonly memory: WasmMemory
  readonly INPUT: WasmNumber
  readonly OUTPUT: WasmNumber
  readonly MAX_BLOCK_BYTES: WasmNumber
  readonly compress: (length: number, limit: number) => number
  readonly decompress: (length: number, capacity: number) => number
  readonly adler32: (adler: number, pointer: number, length: number) => number
}

let instantiate: (() => unknown) | undefined

/** An instance has a fixed memory of 2.1 MiB, of which only what is used becomes resident. The first one takes about 1 ms. */
export function createKernel(): Kernel {
  instantiate ??= compileWasm(WASM_BASE64)
  const { memory, INPUT, OUTPUT, MAX_BLOCK_BYTES, compress, decompress, adler32 } = instantiate() as Exports
  return {
    input: new Uint8Array(memory.buffer, INPUT.value, MAX_BLOCK_BYTES.value),
    output: new Uint8Array(memory.buffer, OUTPUT.value, MAX_BLOCK_BYTES.value),
    compress,
    decompress,
    adler32: (adler, lengthBytes) => adler32(adler, INPUT.value, lengthBytes) >>> 0,
  }
}
