import { maxSealedFrameBytes } from './frame.ts'
import { DATA_HEADER_BYTES } from './packet.ts'
import {
  DEFAULT_MTU_BYTES,
  DEFAULT_SLICE_BYTES,
  IPV4_OVERHEAD_BYTES,
  IPV6_OVERHEAD_BYTES,
  MAX_MTU_BYTES,
  MAX_RUN_BYTES,
  MAX_SLICE_BYTES,
  MAX_SOURCE_SYMBOL_COUNT,
  MIN_MTU_BYTES,
  MIN_SLICE_BYTES,
} from './params.ts'
import { PACKET_TAG_BYTES } from './trust.ts'

/** How an image is cut into slices and a slice into packets. The same for the whole session. */
export interface Geometry {
  /** Plain bytes of a full slice: a multiple of 4096. */
  readonly sliceBytes: number
  /** Bytes of every data packet without IP and UDP headers. */
  readonly packetBytes: number
  /** Bytes of a symbol: `packetBytes` less the data header, and less the tag when the session is keyed. */
  readonly symbolBytes: number
}

/** Bytes that IP and UDP add to each packet of the family. */
export const overheadBytes = (family: 4 | 6): number => (family === 4 ? IPV4_OVERHEAD_BYTES : IPV6_OVERHEAD_BYTES)

const fits = (sliceBytes: number, symbolBytes: number): boolean =>
  Math.ceil(maxSealedFrameBytes(sliceBytes) / symbolBytes) <= MAX_SOURCE_SYMBOL_COUNT

/**
 * Chooses the geometry of a session.
 * @param options.mtuBytes 576 to 65,535; default 1500
 * @param options.sliceBytes a multiple of 4096, 16 KiB to 1 MiB; default 256 KiB, halved until it fits the MTU
 * @param options.isKeyed whether data packets carry tags; default false
 * @throws RangeError when a value is out of bounds or the slice needs more than 223 packets of that MTU
 */
export function planGeometry(options: {
  readonly family: 4 | 6
  readonly mtuBytes?: number | undefined
  readonly sliceBytes?: number | undefined
  readonly isKeyed?: boolean | undefined
}): Geometry {
  const mtuBytes = options.mtuBytes ?? DEFAULT_MTU_BYTES
  if (!Number.isInteger(mtuBytes) || mtuBytes < MIN_MTU_BYTES || mtuBytes > MAX_MTU_BYTES) {
    throw new RangeError(`MTU must be a whole number from ${MIN_MTU_BYTES} to ${MAX_MTU_BYTES} bytes, got ${mtuBytes}`)
  }
  const packetBytes = Math.min(mtuBytes - overheadBytes(options.family), MAX_RUN_BYTES)
  const symbolBytes = symbolBytesOf(packetBytes, options.isKeyed === true)
  let sliceBytes = options.sliceBytes ?? DEFAULT_SLICE_BYTES
  if (!isSliceSize(sliceBytes)) {
    throw new RangeError(
      `slice size must be a multiple of 4096 from ${MIN_SLICE_BYTES} to ${MAX_SLICE_BYTES} bytes, got ${sliceBytes}`,
    )
  }
  if (options.sliceBytes === undefined) while (!fits(sliceBytes, symbolBytes)) sliceBytes /= 2
  if (!fits(sliceBytes, symbolBytes)) {
    const limit = MAX_SOURCE_SYMBOL_COUNT * symbolBytes
    throw new RangeError(
      `slice size ${sliceBytes} does not fit packets of MTU ${mtuBytes}: at most about ${limit} bytes`,
    )
  }
  return { sliceBytes, packetBytes, symbolBytes }
}

const isSliceSize = (bytes: number): boolean =>
  Number.isInteger(bytes) && bytes % 4096 === 0 && bytes >= MIN_SLICE_BYTES && bytes <= MAX_SLICE_BYTES

const symbolBytesOf = (packetBytes: number, isKeyed: boolean): number =>
  packetBytes - DATA_HEADER_BYTES - (isKeyed ? PACKET_TAG_BYTES : 0)

/** The geometry that a sender announced, or undefined when it is outside the limits. */
export function announcedGeometry(sliceBytes: number, packetBytes: number, isKeyed = false): Geometry | undefined {
  const symbolBytes = symbolBytesOf(packetBytes, isKeyed)
  if (!isSliceSize(sliceBytes) || packetBytes > MAX_RUN_BYTES || packetBytes < MIN_MTU_BYTES - IPV6_OVERHEAD_BYTES) {
    return undefined
  }
  return fits(sliceBytes, symbolBytes) ? { sliceBytes, packetBytes, symbolBytes } : undefined
}
