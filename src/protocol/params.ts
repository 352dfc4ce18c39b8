/**
 * Every constant of the protocol: meaning, unit, bounds, and where the number comes from ("ours" = our choice, with the reason).
 */

/** Version in every packet. Raised when an old peer could misread a new packet. */
export const PROTOCOL_VERSION = 1

/** Oldest version this program still speaks. */
export const OLDEST_VERSION = 1

/** Default multicast group: of the organisation-local scope, 239.192.0.0/14 (RFC 2365 section 6.2). */
export const DEFAULT_GROUP = '239.192.83.75'

/** Default UDP port of the group: unassigned by IANA. Ours. */
export const DEFAULT_PORT = 9757

/** Bytes of IPv4 and UDP header on each packet (RFC 791, RFC 768). */
export const IPV4_OVERHEAD_BYTES = 28

/** Bytes of IPv6 and UDP header on each packet (RFC 8200, RFC 768). */
export const IPV6_OVERHEAD_BYTES = 48

/** Default MTU of the path, bytes: Ethernet. */
export const DEFAULT_MTU_BYTES = 1500

/** Smallest MTU accepted, bytes: below the smallest that every IPv4 host must take (RFC 791), symbols get uselessly short. */
export const MIN_MTU_BYTES = 576

/** Largest MTU accepted, bytes: one UDP datagram over IPv4. */
export const MAX_MTU_BYTES = 65_535

/** Default plain bytes of a slice. Ours: 182 symbols at Ethernet's MTU leave room for 73 of parity in GF(2^8); divides RBD's 4 MiB objects. */
export const DEFAULT_SLICE_BYTES = 262_144

/** Bounds of the slice size, bytes. It is a multiple of 4096, so that runs stay on page boundaries; frames keep within 24 bits of length. */
export const MIN_SLICE_BYTES = 16_384
export const MAX_SLICE_BYTES = 1_048_576

/** Most slices of an image: 16 TiB of data at the default size. Bounds the maps at both ends (about 10 bytes a slice at the sender). */
export const MAX_SLICE_COUNT = 67_108_864

/** Most symbols of a slice, source and parity together: a point of GF(2^8) each, one left over, so that an index fits a byte. */
export const MAX_SYMBOL_COUNT = 255

/** Most source symbols of a slice: leaves at least 32 of parity. Ours. */
export const MAX_SOURCE_SYMBOL_COUNT = 223

/** Most bytes of a control packet with its prefix: it fits the smallest MTU over IPv6, so no sender needs to know the path to a peer. */
export const MAX_CONTROL_BYTES: number = MIN_MTU_BYTES - IPV6_OVERHEAD_BYTES

/**
 * Limits on what a control message may carry. A message beyond them is dropped and counted. Together they keep every message
 * within {@link MAX_CONTROL_BYTES}, sealed or not: a slice index takes up to 4 bytes, a count of symbols 2, a (first, count) pair 8.
 */
export const LIMITS = {
  /** UTF-8 bytes of an image id, an image name, a receiver's name, a reason. A sealed Announce holds two of them. */
  textBytes: 160,
  /** Receivers named in one JoinAck or DoneAck, 8 bytes each. */
  acknowledgedReceivers: 50,
  /** Slices in one Nack (8 bytes each) or RepairEcho (6 bytes each). */
  slicesPerMessage: 36,
  /** Nonces named in one Proof, 8 bytes each. */
  noncesPerMessage: 40,
  /** (first, count) pairs in one Nack or RepairEcho. */
  rangesPerMessage: 20,
  /** Bytes of a root digest. */
  digestBytes: 32,
} as const

/** Most receivers that one session keeps. Bounds the sender's memory (about 600 bytes each). Ours. */
export const MAX_RECEIVER_COUNT = 16_384

/**
 * Most live receivers behind one source address. A host has one, a test on one machine hundreds; made-up ones come from few
 * addresses. Ours.
 */
export const MAX_RECEIVERS_PER_ADDRESS = 1024

/**
 * Silence after which each end takes the other for lost, unless told otherwise, milliseconds. Ours: longer than the 50 s in which a
 * spanning tree (IEEE 802.1D: 20 s of age and twice 15 s of delay) lets nothing through.
 */
export const DEFAULT_SILENCE_MS = 60_000

/** Time between announces, microseconds. Ours: a lost one costs a late receiver a fifth of a second. */
export const ANNOUNCE_INTERVAL_US = 200_000

/** Smallest group round-trip time used for timers, microseconds: event loops at both ends add milliseconds. Ours. */
export const MIN_GRTT_US = 5_000

/** Largest group round-trip time used for timers, microseconds. Ours. */
export const MAX_GRTT_US = 2_000_000

/** Backoff factor K: a receiver waits up to K × GRTT before it NACKs (the form is that of RFC 5401, 4 the default of NORM, RFC 5740). */
export const BACKOFF_FACTOR = 4

/** In groups of at most this many receivers NACKs need not suppress each other: there are few. Ours. */
export const SMALL_GROUP_COUNT = 8

/** Groups of this many receivers and more have the whole backoff of K × GRTT; between, it grows with the logarithm. Ours. */
export const LARGE_GROUP_COUNT = 64

/**
 * Longest backoff in small groups, microseconds, whatever the round trip: one NACK names what came due meanwhile. Ours: a busy host's
 * round trips grow to 50 ms, and by K × GRTT repairs took longer than a receiver's buffers last (docs/decisions/0012).
 */
export const GATHER_US = 10_000

/** Reports that the whole group sends a second, at most: the interval grows with the group. Ours; RFC 3550 section 6.2 for the idea. */
export const REPORTS_PER_SEC = 200

/** Time between two reports of one receiver of a small group, milliseconds. Ours: 10 samples a second steer the rate. */
export const REPORT_INTERVAL_MS = 100

/** The shortest, while the rate doubles from report to report. Ours: 1.6 Gbit/s are reached before 6 MiB are sent. */
export const MIN_REPORT_INTERVAL_MS = 25

/** Joins that the whole group sends a second, and Dones, at most: two for each Report that it may send. Ours. */
export const JOINS_PER_SEC = 400

/** Joins, Reports and Dones together, once the main pass is over: what is done does not report, which leaves more to the Dones. Ours. */
export const FEEDBACK_PER_SEC: number = JOINS_PER_SEC + REPORTS_PER_SEC

/**
 * Longest wait before a Join, microseconds: drawn like the backoff of the largest group, so that few are early and the sender can
 * stop the rest. Ours: a group's worth of joins grows threefold in 4 ms, which leaves time for a round trip of a local network.
 */
export const JOIN_WINDOW_US = 40_000

/** Least time over which receivers spread a Done that all send at the same moment, or a Join once they may, microseconds. Ours. */
export const MIN_SPREAD_US = 5_000

/** Numbers of which a receiver draws one: it joins once the limit that Announce tells is above it. Ours: fine enough for 16,384 receivers. */
export const JOIN_DRAW_COUNT = 65_536

/** Time a receiver waits for an answer to Join or Done before it repeats it, microseconds; doubles up to eight times that. */
export const RETRY_INTERVAL_US = 100_000

/** Packets of one run: what segmentation offload takes in one send (Linux: 64 segments and 65,507 bytes). */
export const MAX_RUN_PACKETS = 64
export const MAX_RUN_BYTES = 65_000
