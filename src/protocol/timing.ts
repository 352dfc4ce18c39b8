import {
  BACKOFF_FACTOR,
  GATHER_US,
  JOINS_PER_SEC,
  LARGE_GROUP_COUNT,
  MIN_SPREAD_US,
  REPORT_INTERVAL_MS,
  REPORTS_PER_SEC,
  RETRY_INTERVAL_US,
  SMALL_GROUP_COUNT,
} from './params.ts'

/**
 * The longest backoff before a NACK, microseconds: K × GRTT in groups where NACKs must suppress each other (RFC 5401), just long enough
 * to gather what is due in small ones, none for a single receiver.
 */
export function backoffWindowUs(groupCount: number, grttUs: number): number {
  if (groupCount <= 1) return 0
  const share = Math.log2(groupCount / SMALL_GROUP_COUNT) / Math.log2(LARGE_GROUP_COUNT / SMALL_GROUP_COUNT)
  const wholeUs = BACKOFF_FACTOR * grttUs
  return Math.round(Math.max(Math.min(GATHER_US, wholeUs), wholeUs * Math.min(1, share)))
}

/** How long the sender collects NACKs of a slice before it repairs, microseconds: the longest backoff and half a round trip. */
export const aggregationUs = (groupCount: number, grttUs: number): number =>
  backoffWindowUs(groupCount, grttUs) + Math.round(grttUs / 2)

/** How long a receiver waits for the repair it asked for before it asks again, microseconds: aggregation and two round trips. */
export const holdoffUs = (groupCount: number, grttUs: number): number => aggregationUs(groupCount, grttUs) + 2 * grttUs

/**
 * Time between two reports of one receiver, milliseconds: the whole group together keeps to {@link REPORTS_PER_SEC}.
 * @param leastMs of a small group
 */
export const reportIntervalMs = (groupCount: number, leastMs: number = REPORT_INTERVAL_MS): number =>
  Math.max(leastMs, Math.ceil((groupCount * 1000) / REPORTS_PER_SEC))

/** Time over which receivers spread what all send at the same moment, microseconds: the group together keeps to {@link JOINS_PER_SEC}. */
export const spreadUs = (groupCount: number): number =>
  Math.max(MIN_SPREAD_US, Math.ceil((groupCount * 1e6) / JOINS_PER_SEC))

/** First wait for an answer to Join or Done, microseconds: by the eightfold, a large group's repetitions are spread like the first. */
export const retryIntervalUs = (groupCount: number): number =>
  Math.max(RETRY_INTERVAL_US, Math.ceil(spreadUs(groupCount) / 8))
