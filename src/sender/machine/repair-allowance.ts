import type { Micros } from '../../protocol/index.ts'

/**
 * What may be asked for at once, microseconds of the rate: a receiver that comes late asks for all that it lacks, and again after at
 * most 2 s (`MAX_QUIET_US` of the receiver); meanwhile the sender should not run dry. Ours.
 */
export const ALLOWANCE_US = 2_500_000

/** Whoever has asked within this time shares the rate with the others that have, microseconds. Ours. */
const SHARING_US = 2_000_000

/** How often those are counted, microseconds. */
const COUNT_INTERVAL_US = 100_000

/** Addresses that are kept apart; beyond, the one that asked longest ago starts afresh. Bounds memory to about 100 KiB. */
const MAX_ADDRESS_COUNT = 1024

interface Account {
  /** Symbols that may be asked for, as of `atUs`. */
  symbols: number
  readonly atUs: Micros
}

/**
 * Limits the repairs that one source address may ask for: its share of what the sender can send, and so much at once. So one
 * packet cannot set off more than that, and one host that asks for everything leaves the others their share. What is not granted
 * is not promised either: its receiver asks again.
 */
export class RepairAllowance {
  /** By the time of the last NACK. */
  readonly #accounts = new Map<string, Account>()
  readonly #leastSymbols: number
  #account: Account = { symbols: 0, atUs: 0 }
  /** Addresses that have asked of late. */
  #activeCount = 0
  #countedUs = -Infinity

  /** @param leastSymbols may be asked for however low the rate is: one slice */
  constructor(leastSymbols: number) {
    this.#leastSymbols = leastSymbols
  }

  /**
   * Begins with what one address asks for; `isOpen` and `take` are about this one then.
   * @param leastSharerCount as many as that are taken to share the rate, at least
   */
  open(nowUs: Micros, address: string, symbolsPerSec: number, leastSharerCount: number): void {
    if (nowUs >= this.#countedUs + COUNT_INTERVAL_US) this.#countSharers(nowUs)
    const known = this.#accounts.get(address)
    const isCounted = known !== undefined && known.atUs > this.#countedUs - SHARING_US
    const sharerCount = this.#activeCount + (isCounted ? 0 : 1)
    const share = symbolsPerSec / Math.max(leastSharerCount, sharerCount) / 1e6
    const most = Math.max(this.#leastSymbols, share * ALLOWANCE_US)
    if (known !== undefined) this.#accounts.delete(address)
    else if (this.#accounts.size >= MAX_ADDRESS_COUNT) this.#accounts.delete(this.#accounts.keys().next().value!)
    const earned = known === undefined ? most : known.symbols + (nowUs - known.atUs) * share
    this.#account = { symbols: Math.min(most, earned), atUs: nowUs }
    this.#accounts.set(address, this.#account)
  }

  /** True while anything may be asked for. */
  get isOpen(): boolean {
    return this.#account.symbols > 0
  }

  /** Counts what was granted: the last grant may go beyond the allowance, so that any slice can be had. */
  take(symbolCount: number): void {
    this.#account.symbols -= symbolCount
  }

  get addressCount(): number {
    return this.#accounts.size
  }

  #countSharers(nowUs: Micros): void {
    this.#countedUs = nowUs
    this.#activeCount = 0
    for (const { atUs } of this.#accounts.values()) if (atUs > nowUs - SHARING_US) this.#activeCount++
  }
}
