export { DATA_PIECE_BYTES, RBD_LIMITS, type DiffVersion, type RbdRecord } from './rbd-format.ts'
export { RbdReader } from './rbd-reader.ts'
export { encodeRbdRecord } from './rbd-writer.ts'
