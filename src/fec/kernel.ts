import { compileWasm, isWasmSupported, type WasmMemory, type WasmNumber } from '../wasm.ts'
import { multiply } from './galois.ts'
import { WASM_BASE64 as RELAXED } from './generated/relaxed.ts'
import { WASM_BASE64 as SIMD } from './generated/simd.ts'

/**
 * All kernels give the same bytes. `relaxed` uses WebAssembly's relaxed SIMD, for 1.3 times the speed where the engine has
 * it (Node.js 22 on); `simd` runs on every supported Node.js.
 */
export type FecKernel = 'relaxed' | 'simd'

/** The kernels that this JavaScript engine can run, fastest first. */
export function supportedKernels(): readonly FecKernel[] {
  return (supported ??= FASTEST_FIRST.filter((name) => isWasmSupported(WASM[name])))
}

/** One instance of a kernel with its fixed memory of 2.1 MiB, of which only what is used becomes resident. */
export class Kernel {
  /** `MAX_FRAME_BYTES` bytes: the symbols to combine, back to back. */
  readonly sources: Uint8Array
  /** 256 bytes: what each of those symbols is multiplied by. */
  readonly coefficients: Uint8Array
  readonly #output: Uint8Array
  readonly #combine: KernelExports['combine']

  /** @throws RangeError when this engine cannot run the kernel of that name. */
  constructor(name: FecKernel) {
    const { memory, PRODUCTS, COEFFICIENTS, OUTPUT, SOURCES, SOURCES_CAPACITY, combine } = instantiate(name)
    const view = (start: number, lengthBytes: number) => new Uint8Array(memory.buffer, start, lengthBytes)
    this.sources = view(SOURCES.value, SOURCES_CAPACITY.value)
    this.coefficients = view(COEFFICIENTS.value, 256)
    this.#output = view(OUTPUT.value, 65_536)
    this.#combine = combine
    fillProducts(view(PRODUCTS.value, 8192))
  }

  /**
   * Writes the sum of `coefficients[c]` times symbol c, for c < `sourceCount`, to `into` at `offset`: `symbolBytes`
   * bytes. Checks nothing.
   */
  combineInto(sourceCount: number, symbolBytes: number, into: Uint8Array, offset: number): void {
    this.#combine(sourceCount, symbolBytes)
    into.set(this.#output.subarray(0, symbolBytes), offset)
  }
}

interface KernelExports {
  readonly memory: WasmMemory
  readonly PRODUCTS: WasmNumber
  readonly COEFFICIENTS: WasmNumber
  readonly OUTPUT: WasmNumber
  readonly SOURCES: WasmNumber
  readonly SOURCES_CAPACITY: WasmNumber
  readonly combine: (sourceCount: number, symbolBytes: number) => void
}

const FASTEST_FIRST: readonly FecKernel[] = ['relaxed', 'simd']
const WASM: Readonly<Record<FecKernel, string>> = { relaxed: RELAXED, simd: SIMD }

let supported: readonly FecKernel[] | undefined
const instantiators = new Map<FecKernel, () => unknown>()

function instantiate(name: FecKernel): KernelExports {
  let instantiator = instantiators.get(name)
  if (!instantiator) {
    const names = supportedKernels()
    if (!names.includes(name)) throw new RangeError(`kernel is ${name}, expected one of: ${names.join(', ')}`)
    instantiator = compileWasm(WASM[name])
    instantiators.set(name, instantiator)
  }
  return instantiator() as KernelExports
}

/**
 * For each coefficient, its products with the 16 low nibbles, then with the 16 high ones: together those with any
 * byte.
 */
function fillProducts(products: Uint8Array): void {
  for (let coefficient = 0; coefficient < 256; coefficient++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      products[coefficient * 32 + nibble] = multiply(coefficient, nibble)
      products[coefficient * 32 + 16 + nibble] = multiply(coefficient, nibble << 4)
    }
  }
}
