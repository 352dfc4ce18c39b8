/** Tokens are millionths of a bit: a microsecond at a whole number of bits per second yields a whole number of them. */
const TOKENS_PER_BYTE = 8_000_000

/** Deepest bucket, bytes: its tokens, 8e15, are still exact in a double, and so is each sum and quotient below. */
const MAX_DEPTH_BYTES = 1_000_000_000

/**
 * Limits what is sent: over any window of time, at most `rate × window + depth`. Exact: nothing is rounded, so nothing drifts.
 * Starts full. Time is in whole microseconds; a time before the last one counts as the last one.
 */
export class TokenBucket {
  #bitsPerSec: number
  #depth: number
  #tokens: number
  #filledAtUs: number

  /**
   * @param bitsPerSec whole, 1 to 2^53 - 1
   * @param depthBytes whole, 1 to 1e9: most that can go out at once; what is to be taken must fit
   * @throws RangeError when one is out of bounds
   */
  constructor(nowUs: number, bitsPerSec: number, depthBytes: number) {
    this.#bitsPerSec = checked('rate', bitsPerSec, Number.MAX_SAFE_INTEGER)
    this.#depth = checked('depth', depthBytes, MAX_DEPTH_BYTES) * TOKENS_PER_BYTE
    this.#tokens = this.#depth
    this.#filledAtUs = nowUs
  }

  get bitsPerSec(): number {
    return this.#bitsPerSec
  }

  get depthBytes(): number {
    return this.#depth / TOKENS_PER_BYTE
  }

  /**
   * Changes rate and depth from now on. Tokens earned so far stay, as far as the new depth holds them.
   * @throws RangeError as the constructor
   */
  setRate(nowUs: number, bitsPerSec: number, depthBytes: number = this.depthBytes): void {
    const depth = checked('depth', depthBytes, MAX_DEPTH_BYTES) * TOKENS_PER_BYTE
    checked('rate', bitsPerSec, Number.MAX_SAFE_INTEGER)
    this.#fill(nowUs)
    this.#bitsPerSec = bitsPerSec
    this.#depth = depth
    this.#tokens = Math.min(this.#tokens, depth)
  }

  /** Takes `bytes`, all or nothing. @returns whether they were there */
  take(nowUs: number, bytes: number): boolean {
    this.#fill(nowUs)
    const tokens = bytes * TOKENS_PER_BYTE
    if (tokens > this.#tokens) return false
    this.#tokens -= tokens
    return true
  }

  /** Whole bytes that can be taken now. */
  available(nowUs: number): number {
    this.#fill(nowUs)
    return Math.floor(this.#tokens / TOKENS_PER_BYTE)
  }

  /**
   * The first microsecond at which `bytes` can be taken if nothing else is; in the past when they can be now.
   * @throws RangeError when the bucket is too shallow ever to hold them
   */
  readyAtUs(bytes: number): number {
    const tokens = bytes * TOKENS_PER_BYTE
    if (tokens > this.#depth)
      throw new RangeError(`bytes: expected at most the depth, ${this.depthBytes}, got ${bytes}`)
    return this.#filledAtUs + Math.max(0, Math.ceil((tokens - this.#tokens) / this.#bitsPerSec))
  }

  #fill(nowUs: number): void {
    if (nowUs <= this.#filledAtUs) return
    const earned = (nowUs - this.#filledAtUs) * this.#bitsPerSec
    // A product too large to be exact is far more than the bucket holds.
    this.#tokens = earned >= this.#depth - this.#tokens ? this.#depth : this.#tokens + earned
    this.#filledAtUs = nowUs
  }
}

function checked(label: string, value: number, most: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= most) return value
  throw new RangeError(`${label}: expected a whole number from 1 to ${most}, got ${value}`)
}
