import { describe, expect, it } from 'vitest'
import { type FecKernel, Kernel, supportedKernels } from '../../../src/fec/kernel.ts'
import { MAX_FRAME_BYTES, MAX_SYMBOL_BYTES } from '../../../src/fec/limits.ts'
import { multiplyReference } from '../../reference/reed-solomon.ts'

const everyByte = Uint8Array.from({ length: 256 }, (_, value) => value)

describe('supportedKernels', () => {
  it('ends in simd, which every supported Node.js runs', () => {
    expect(supportedKernels().at(-1)).toBe('simd')
  })
})

describe('Kernel', () => {
  it('refuses a name that this engine has no kernel for', () => {
    expect(() => new Kernel('mmx' as FecKernel)).toThrow(/^kernel is mmx, expected one of: .*simd$/)
  })
})

describe.each(supportedKernels())('Kernel %s', (name) => {
  it('multiplies every byte by every coefficient', () => {
    const kernel = new Kernel(name)
    kernel.sources.set(everyByte)
    const product = new Uint8Array(256)
    for (let coefficient = 0; coefficient < 256; coefficient++) {
      kernel.coefficients[0] = coefficient
      kernel.combineInto(1, 256, product, 0)
      expect(product).toEqual(everyByte.map((value) => multiplyReference(coefficient, value)))
    }
  })

  it.each([1, 15, 16, 17, 63, 64, 65, 127, 1457, MAX_SYMBOL_BYTES])('adds up symbols of %i bytes', (symbolBytes) => {
    const kernel = new Kernel(name)
    const symbols = [3, 5, 7].map((step) => Uint8Array.from({ length: symbolBytes }, (_, n) => n * step + step))
    for (const [n, symbol] of symbols.entries()) kernel.sources.set(symbol, n * symbolBytes)
    kernel.coefficients.set([1, 2, 255])
    const sum = new Uint8Array(symbolBytes + 2).fill(0xee)
    kernel.combineInto(3, symbolBytes, sum, 1)
    const expected = symbols[0]!.map(
      (value, n) => value ^ multiplyReference(2, symbols[1]![n]!) ^ multiplyReference(255, symbols[2]![n]!),
    )
    expect(sum.subarray(1, -1)).toEqual(expected)
    expect([sum[0], sum.at(-1)]).toEqual([0xee, 0xee])
  })

  it('has memory for the longest frame', () => {
    expect(new Kernel(name).sources).toHaveLength(MAX_FRAME_BYTES)
  })
})
