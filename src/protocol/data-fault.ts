import { frameHeadBytes, maxFrameBytes } from './frame.ts'
import type { Geometry } from './geometry.ts'
import { frameBytesAt, sliceIndexAt, symbolIndexAt } from './packet.ts'
import { MAX_SLICE_COUNT, MAX_SYMBOL_COUNT } from './params.ts'

/** Why a data packet was dropped: its length, slice index, frame length or symbol index is none that the session can have. */
export type DataFault = 'data-length' | 'data-slice' | 'data-frame' | 'data-symbol'

/**
 * Checks the data packet of `length` bytes at `at`, of which `packetTypeAt` has found that it is one. What passes has at most
 * 223 source symbols and a frame within `maxFrameBytes(geometry.sliceBytes)`: buffers of that size hold it.
 */
export function dataFaultAt(bytes: Uint8Array, at: number, length: number, geometry: Geometry): DataFault | undefined {
  if (length !== geometry.packetBytes) return 'data-length'
  if (sliceIndexAt(bytes, at) >= MAX_SLICE_COUNT) return 'data-slice'
  const frameBytes = frameBytesAt(bytes, at)
  if (frameBytes < frameHeadBytes(1) || frameBytes > maxFrameBytes(geometry.sliceBytes)) return 'data-frame'
  return symbolIndexAt(bytes, at) < MAX_SYMBOL_COUNT ? undefined : 'data-symbol'
}
