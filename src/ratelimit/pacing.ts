/** Longest that one batch of packets occupies its rate, microseconds. Ours: a switch port with 1 ms of buffer takes it whole. */
const BATCH_US = 1000

/**
 * What a full bucket holds, microseconds of its rate: how late a timer may be without loss of throughput. Ours, from
 * measurement: `setTimeout(1)` of Node 20 on an idle two-core machine fired after 1.08 ms (median), 1.18 ms (99 %),
 * 2.1 ms (99.9 %), at most 3.0 ms.
 */
const BURST_US = 4000

/** The same while there is more to send: as late as timers are where programs wait for the processors. Ours. */
const CATCH_UP_US = 32_000

/** But no more bytes than the buffer of any switch port takes. Ours. */
const MAX_CATCH_UP_BYTES = 262_144

const bytesOf = (bitsPerSec: number, us: number): number => Math.floor((bitsPerSec * us) / 8e6)

/**
 * Most bytes to hand to the network at once: 1 ms of the rate, but no less than one packet.
 * @param packetBytes bytes of the largest packet
 */
export const batchBytes = (bitsPerSec: number, packetBytes: number): number =>
  Math.max(packetBytes, bytesOf(bitsPerSec, BATCH_US))

/**
 * Depth of the token bucket: 4 ms of the rate, so that a late timer catches up, but no less than one packet.
 * @param packetBytes bytes of the largest packet
 */
export const burstBytes = (bitsPerSec: number, packetBytes: number): number =>
  Math.max(packetBytes, bytesOf(bitsPerSec, BURST_US))

/**
 * Its depth while there is more to send than may be sent, so that a timer that is later still costs nothing: 32 ms of the rate, of a
 * rate above 64 Mbit/s 256 KiB, but no less than {@link burstBytes}.
 * @param packetBytes bytes of the largest packet
 */
export const catchUpBytes = (bitsPerSec: number, packetBytes: number): number =>
  Math.max(burstBytes(bitsPerSec, packetBytes), Math.min(bytesOf(bitsPerSec, CATCH_UP_US), MAX_CATCH_UP_BYTES))
