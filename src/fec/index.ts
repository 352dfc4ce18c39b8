export { FecDecoder, type ParitySymbol } from './decoder.ts'
export { FecEncoder } from './encoder.ts'
export { type FecKernel, supportedKernels } from './kernel.ts'
export { MAX_FRAME_BYTES, MAX_SOURCE_SYMBOLS, MAX_SYMBOL_BYTES, MAX_SYMBOLS } from './limits.ts'
