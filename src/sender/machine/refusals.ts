/** Addresses of other versions that the driver is told of, at most. Ours. */
const MAX_ADDRESS_COUNT = 64

/** Whose refusal the driver has been told of: anybody can refuse as often as they like. */
export class Refusals {
  readonly #addresses = new Set<string>()

  /** True the first time, for the first 64 addresses. */
  isNew(address: string): boolean {
    if (this.#addresses.size >= MAX_ADDRESS_COUNT || this.#addresses.has(address)) return false
    this.#addresses.add(address)
    return true
  }
}
