/*
 * The streams of the `rbd` tool; all integers little-endian, no padding.
 *
 * A diff, version 1 (`rbd export-diff`, `rbd import-diff`): the banner "rbd diff v1\n", then records of a tag of one byte and
 *
 *     'f'  u32 n, n bytes          name of the snapshot that the diff starts from; without it, from nothing
 *     't'  u32 n, n bytes          name of the snapshot that it leads to; without it, to the image's present state
 *     's'  u64                     size of the image at the end, bytes
 *     'w'  u64 offset, u64 n, n …  data
 *     'z'  u64 offset, u64 n       zeros
 *     'e'                          end; nothing follows
 *
 * A diff, version 2: the banner "rbd diff v2\n" and the same records, but between tag and payload stands the payload's length
 * (u64), except after 'e'; and one more:
 *
 *     'p'  u8                      whether the snapshot is protected. Its length says 8, yet one byte follows: the tool writes and
 *                                  reads it so. It reads one byte also where the length says 1.
 *
 * An image, version 2 (`rbd export --export-format 2`, `rbd import --export-format 2`): the banner "rbd image v2\n", then
 *
 *     'O'  u64 8, u64              object size, as the exponent of 2
 *     'T'  u64 8, u64              feature bits
 *     'U'  u64 8, u64              stripe unit, bytes
 *     'C'  u64 8, u64              stripe count
 *     'M'  u64 length, u32 n, n bytes, u32 m, m bytes   key and value of the image's metadata, one record a pair
 *     'E'                          end of the properties
 *
 * then "rbd image diffs v2\n", the number of diffs (u64), and as many diffs of version 2, one after the other: from nothing to the
 * oldest snapshot, to the next, …, to the present state.
 *
 * Source: what rbd 16.2.15 writes and takes (test/system/rbd-streams.test.ts asks the tool; test/vectors/rbd holds some of it).
 */

export const DIFF_BANNERS = { 1: 'rbd diff v1\n', 2: 'rbd diff v2\n' } as const
export const IMAGE_BANNER = 'rbd image v2\n'
export const DIFFS_BANNER = 'rbd image diffs v2\n'

/** The length that a protection record gives for its one byte. */
export const PROTECTION_LENGTH_BYTES = 8

/** What a field may hold at most. Whatever is larger is refused; all numbers are at most 2^53 - 1. */
export const RBD_LIMITS = {
  /** Bytes of a snapshot's name, of a key. Source: the tool takes no longer name. */
  nameBytes: 4096,
  /** Bytes of a metadata value. Our choice: bounds memory; far more than anyone keeps there. */
  valueBytes: 65_536,
  /** Diffs in an image: its snapshots and one. Our choice: far more than a cluster bears. */
  diffCount: 65_536,
  /** Bytes of a property that is not known and passed over. Our choice. */
  skippedBytes: 1_048_576,
  /** Exponents of the object size: 4 KiB to 32 MiB. Source: `rbd help create`. */
  leastOrder: 12,
  mostOrder: 25,
} as const

/**
 * Data is yielded in pieces that end at multiples of this in the image, however long the records are: a bound on memory, and whole
 * pages for whoever cuts them into slices. Our choice: the default slice.
 */
export const DATA_PIECE_BYTES = 262_144

/**
 * One statement of a stream. In order: a diff is `diff`, `from-snapshot`?, `to-snapshot`?, `protection`?, `size`?, (`data` | `zeros`)*,
 * `end`; an image is `image`, its properties, `diffs`, and as many diffs as that says. A reader relies on no other order than that
 * `end` is the last of a diff.
 */
export type RbdRecord =
  | { readonly kind: 'image' }
  /** Objects have 2^order bytes. */
  | { readonly kind: 'order'; readonly order: number }
  | { readonly kind: 'features'; readonly bits: bigint }
  | { readonly kind: 'stripe-unit'; readonly unitBytes: number }
  | { readonly kind: 'stripe-count'; readonly count: number }
  | { readonly kind: 'metadata'; readonly key: string; readonly value: string }
  /** A property that is not known and was passed over. */
  | { readonly kind: 'skipped'; readonly tag: string; readonly lengthBytes: number }
  | { readonly kind: 'diffs'; readonly count: number }
  | { readonly kind: 'diff'; readonly version: DiffVersion }
  | { readonly kind: 'from-snapshot'; readonly name: string }
  | { readonly kind: 'to-snapshot'; readonly name: string }
  /** Of the snapshot that the diff leads to. Version 2 only. */
  | { readonly kind: 'protection'; readonly isProtected: boolean }
  | { readonly kind: 'size'; readonly sizeBytes: number }
  | { readonly kind: 'data'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'zeros'; readonly offset: number; readonly lengthBytes: number }
  | { readonly kind: 'end' }

/** Records that can be written: what was not understood cannot. */
export type WritableRbdRecord = Exclude<RbdRecord, { kind: 'skipped' }>

export type DiffVersion = 1 | 2
