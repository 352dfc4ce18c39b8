import { MAX_SYMBOL_COUNT, sourceSymbolCount } from '../../protocol/index.ts'
import type { SymbolDecoder } from './receiver-options.ts'

/**
 * A slice on its way in: one pooled buffer with a place for each source symbol. A source symbol goes to its own place. A parity
 * symbol lies in the place of some source symbol that has not come; should that come after all, the parity symbol moves on.
 */
export class OpenSlice {
  slice = 0
  frameBytes = 0
  sourceCount = 0
  /** Different symbols held, source and parity. The slice is whole when they are as many as its source symbols. */
  heldCount = 0
  sourcesHeld = 0
  /** Highest symbol index heard plus one. */
  heardEnd = 0
  /** Symbol index heard last; -1: none. The sender goes up from one to the next, and round. */
  lastIndex = -1
  /** Symbols of the first pass below this have been heard or counted as lost. */
  accountedEnd = 0
  lastHeardUs = 0
  /** No NACK before this time. */
  quietUntilUs = 0
  /** NACKs since a symbol last arrived. */
  askedInVain = 0
  /** True once the first pass is over, with its losses counted; what comes now is repair. */
  isPassed = false
  /** The sender will mend it after the main pass. */
  isDeferred = false
  /** Packets that named another frame length. */
  #conflictCount = 0

  readonly #symbolBytes: number
  readonly #buffer: Uint8Array
  /** By place: symbol index + 1; 0: nothing. */
  readonly #symbolIn: Uint8Array
  /** By symbol: place + 1; 0: not held. */
  readonly #placeOf = new Uint8Array(MAX_SYMBOL_COUNT)

  /**
   * @param placeCount most source symbols of a slice
   * @param buffer room for as many symbols, this object's from now on
   */
  constructor(placeCount: number, symbolBytes: number, buffer: Uint8Array = new Uint8Array(placeCount * symbolBytes)) {
    this.#symbolBytes = symbolBytes
    this.#buffer = buffer
    this.#symbolIn = new Uint8Array(placeCount)
  }

  /** Symbols still needed. */
  get deficit(): number {
    return this.sourceCount - this.heldCount
  }

  get isWhole(): boolean {
    return this.heldCount === this.sourceCount
  }

  /** The frame: a view of the buffer. */
  get frame(): Uint8Array {
    return this.#buffer.subarray(0, this.frameBytes)
  }

  /** Forgets everything and begins a slice; `frameBytes` fits the buffer. */
  begin(slice: number, frameBytes: number): void {
    this.slice = slice
    this.frameBytes = frameBytes
    this.sourceCount = sourceSymbolCount(frameBytes, this.#symbolBytes)
    this.heldCount = this.sourcesHeld = this.heardEnd = this.accountedEnd = 0
    this.lastIndex = -1
    this.lastHeardUs = this.quietUntilUs = this.askedInVain = this.#conflictCount = 0
    this.isPassed = this.isDeferred = false
    this.#symbolIn.fill(0)
    this.#placeOf.fill(0)
  }

  /**
   * Takes the symbol that lies in `bytes` at `at` (copied). Not to be called once the slice is whole.
   * @returns false when it is held already
   */
  add(symbolIndex: number, bytes: Uint8Array, at: number): boolean {
    if (this.#placeOf[symbolIndex] !== 0) return false
    let place = symbolIndex
    if (symbolIndex < this.sourceCount) {
      const parity = this.#symbolIn[place]!
      if (parity !== 0) this.#move(parity - 1, place)
      this.sourcesHeld++
    } else {
      place = this.#freePlace()
    }
    this.#buffer.set(bytes.subarray(at, at + this.#symbolBytes), place * this.#symbolBytes)
    this.#symbolIn[place] = symbolIndex + 1
    this.#placeOf[symbolIndex] = place + 1
    this.heldCount++
    if (symbolIndex >= this.heardEnd) this.heardEnd = symbolIndex + 1
    return true
  }

  /**
   * Notes a packet that names another frame length.
   * @returns true when such packets outnumber those that agree, so that what is held is more likely wrong
   */
  noteConflict(): boolean {
    return ++this.#conflictCount > this.heldCount
  }

  /** Puts parity to use, once the slice is whole. Returns the number of source symbols rebuilt. */
  rebuild(decoder: SymbolDecoder): number {
    if (this.sourcesHeld === this.sourceCount) return 0
    const missing: number[] = []
    const parity: { symbolIndex: number; bytes: Uint8Array }[] = []
    for (let place = 0; place < this.sourceCount; place++) {
      const symbolIndex = this.#symbolIn[place]! - 1
      if (symbolIndex === place) continue
      const from = place * this.#symbolBytes
      missing.push(place)
      parity.push({ symbolIndex, bytes: this.#buffer.subarray(from, from + this.#symbolBytes) })
    }
    const symbols = this.#buffer.subarray(0, this.sourceCount * this.#symbolBytes)
    decoder.decode(symbols, this.#symbolBytes, missing, parity)
    return missing.length
  }

  /** Moves a parity symbol out of a place that is still counted as taken. There is a free one: the slice is not whole. */
  #move(symbolIndex: number, from: number): void {
    const to = this.#freePlace()
    const symbolBytes = this.#symbolBytes
    this.#buffer.copyWithin(to * symbolBytes, from * symbolBytes, (from + 1) * symbolBytes)
    this.#symbolIn[to] = symbolIndex + 1
    this.#placeOf[symbolIndex] = to + 1
  }

  #freePlace(): number {
    return this.#symbolIn.indexOf(0)
  }
}
