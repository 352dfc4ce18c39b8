export { type LzoFault, Lzo1x, MAX_BLOCK_BYTES } from './lzo1x.ts'
export { LZOP_MAX_BLOCK_BYTES, type LzopHeader } from './lzop-format.ts'
export { type LzopFault, LzopReader, type LzopRecord } from './lzop-reader.ts'
export { LZOP_BLOCK_OVERHEAD_BYTES, type LzopOptions, LzopWriter } from './lzop-writer.ts'
