export { DATA_PIECE_BYTES, RBD_LIMITS, type DiffVersion, type RbdRecord, type WritableRbdRecord } from './rbd-format.ts'
export { isRbdName, parseRbdName, type RbdName } from './rbd-name.ts'
export { RbdReader } from './rbd-reader.ts'
export { encodeRbdRecord } from './rbd-writer.ts'
