/** What came of one try. */
export interface RateTry {
  /** What it was told to keep to; absent: as fast as it could. */
  readonly capBitsPerSec?: number
  /** What it sent at. */
  readonly bitsPerSec: number
  readonly isLossless: boolean
}

/** Where the first rate is looked for below one that lost something. */
const FIRST_SHARE = 0.7

/** The search ends when the lowest rate with loss is no more than this above the highest without. */
const WANTED_RATIO = 1.05

/** Tries of one search, at the most. */
const MAX_TRIES = 10

/** Where to look again, as shares of what was found before: a little higher first. */
const NEAR_SHARES = [1.05, 1, 0.95, 0.9, 0.85, 0.8]

/**
 * Looks for the highest rate at which nothing is lost: as fast as possible first, then between the rates that lost and those that
 * did not.
 *
 * @param known what an earlier search found, on a machine that may have been busier or less busy: looks around that rate only
 * @returns the try that succeeded at the highest rate; undefined when {@link MAX_TRIES} failed
 */
export async function findLosslessRate<Try extends RateTry>(
  attempt: (capBitsPerSec?: number) => Promise<Try>,
  known?: RateTry,
): Promise<Try | undefined> {
  return known ? searchNear(attempt, known) : searchAll(attempt)
}

async function searchAll<Try extends RateTry>(attempt: (cap?: number) => Promise<Try>): Promise<Try | undefined> {
  const first = await attempt()
  if (first.isLossless) return first
  let lossyBitsPerSec = first.bitsPerSec
  let best: Try | undefined
  let bestBitsPerSec = 0
  for (let tries = 1; tries < MAX_TRIES && lossyBitsPerSec > bestBitsPerSec * WANTED_RATIO; tries++) {
    const cap = best ? Math.sqrt(bestBitsPerSec * lossyBitsPerSec) : lossyBitsPerSec * FIRST_SHARE
    const result = await attempt(cap)
    // A machine that cannot reach the cap tells nothing about it.
    if (!result.isLossless) lossyBitsPerSec = result.bitsPerSec
    else if (result.bitsPerSec > bestBitsPerSec) [best, bestBitsPerSec] = [result, result.bitsPerSec]
  }
  return best
}

async function searchNear<Try extends RateTry>(
  attempt: (cap?: number) => Promise<Try>,
  known: RateTry,
): Promise<Try | undefined> {
  const { capBitsPerSec, bitsPerSec } = known
  const near = NEAR_SHARES.map((share) => (capBitsPerSec ?? bitsPerSec) * share)
  for (const cap of capBitsPerSec === undefined ? [undefined, ...near.slice(1)] : near) {
    const result = await attempt(cap)
    if (result.isLossless) return result
  }
  return undefined
}
