const WASM_PAGE_BYTES = 65_536

/** A memory that never grows, so that `buffer` stays the same. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer
}

/** A number that an instance exports: a pointer into its memory, or a capacity in bytes. */
export interface WasmNumber {
  readonly value: number
}

/** Whether this JavaScript engine has the features that the module, given as base64, is compiled for. */
export function isWasmSupported(base64: string): boolean {
  return WebAssembly.validate(decodeBase64(base64))
}

/**
 * Compiles a module that imports nothing, given as base64. Each call of what is returned makes an instance with a memory
 * of its own and returns what that exports; its type is the caller's word.
 *
 * @throws WebAssembly.CompileError when this engine does not support the module
 */
export function compileWasm(base64: string): () => unknown {
  const module = new WebAssembly.Module(decodeBase64(base64))
  return () => new WebAssembly.Instance(module).exports
}

/**
 * Makes a memory that does not belong to an instance. Unlike other buffers it begins at a page of the machine.
 * @param lengthBytes a multiple of 65,536
 */
export function makeWasmMemory(lengthBytes: number): WasmMemory {
  const pages = lengthBytes / WASM_PAGE_BYTES
  return new WebAssembly.Memory({ initial: pages, maximum: pages })
}

/** As much of WebAssembly's JavaScript interface as is used here; TypeScript knows it with the browser's types only. */
declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number }) => WasmMemory
  readonly validate: (bytes: Uint8Array) => boolean
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: unknown }
}

function decodeBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}
