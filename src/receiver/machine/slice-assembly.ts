import { maxSealedFrameBytes, sourceSymbolCount, type Geometry } from '../../protocol/index.ts'
import { OpenSlice } from './open-slice.ts'
import type { ReceiverMachineOptions, SymbolDecoder } from './receiver-options.ts'
import { SettledMap } from './settled-map.ts'

/** Two NACKs may be lost, or their repairs. Ours. */
const VAIN_NACK_COUNT = 3

/** A frame that is whole. */
export interface WholeFrame {
  readonly slice: number
  readonly frame: Uint8Array
}

/**
 * Turns symbols into frames: the pool of slice buffers, the slices on their way in (open), those that are whole and wait or are
 * with the driver, and those that are settled. Memory: `bufferSlices` buffers of the largest frame, made as they are needed, and
 * one bit a slice.
 */
export class SliceAssembly {
  settled: SettledMap = new SettledMap()
  /** Slices with some symbols, not yet whole. */
  readonly open: Map<number, OpenSlice> = new Map<number, OpenSlice>()
  /** Data packets that brought nothing new; packets and symbols dropped, by cause; see `ReceiverStats`. */
  duplicatePackets = 0
  malformedPackets = 0
  droppedForBuffers = 0
  lostPackets = 0
  parityUsed = 0

  readonly #geometry: Geometry
  readonly #bufferSlices: number
  readonly #isSequential: boolean
  readonly #decoder: SymbolDecoder
  readonly #makeBuffer: ReceiverMachineOptions['makeBuffer']
  readonly #placeCount: number
  readonly #free: OpenSlice[] = []
  #madeCount = 0
  readonly #whole = new Map<number, OpenSlice>()
  readonly #ready: number[] = []
  /** Slices ready and with the driver. */
  readonly #offered = new Set<number>()
  /** Sequential: the slice whose turn it is. All before it are offered or settled. */
  #nextInOrder = 0
  #latest: OpenSlice | undefined
  #begunCount = 0
  #listensFrom: number | undefined
  /** Whether anything came of the slice begun last. */
  #isLatestHeard = false
  #typicalSourceCount = 1
  #lastDataUs = 0
  #isStarved = false
  /** What it lacks is no loss, or counted: the slice last dropped, evicted or rejected, or unheard when End came. */
  #excusedSlice: number | undefined
  #hasChanged = false

  constructor(
    geometry: Geometry,
    options: Pick<ReceiverMachineOptions, 'bufferSlices' | 'isSequential' | 'decoder' | 'makeBuffer'>,
  ) {
    this.#geometry = geometry
    this.#bufferSlices = options.bufferSlices
    this.#makeBuffer = options.makeBuffer
    this.#isSequential = options.isSequential
    this.#decoder = options.decoder
    this.#placeCount = sourceSymbolCount(maxSealedFrameBytes(geometry.sliceBytes), geometry.symbolBytes)
  }

  /** Slices known to have begun: all those below the highest that was heard or told of. */
  get begunCount(): number {
    return this.#begunCount
  }

  /** Slices that may be asked for and taken in now: below this, whatever has begun. */
  get acceptsBelow(): number {
    return this.#isSequential ? this.settled.low + this.#bufferSlices : Infinity
  }

  /** Source symbols of the slice begun last: what a slice not heard probably has. */
  get typicalSourceCount(): number {
    return this.#typicalSourceCount
  }

  /** When the last data packet came, of whatever slice, or a new slice was told of. */
  get lastDataUs(): number {
    return this.#lastDataUs
  }

  /** Slice buffers in use and free. */
  get madeCount(): number {
    return this.#madeCount
  }

  get freeCount(): number {
    return this.#bufferSlices - this.open.size - this.#whole.size
  }

  /** What all buffers together hold. */
  get bufferBytes(): number {
    return this.#bufferSlices * this.#geometry.sliceBytes
  }

  get queuePercent(): number {
    return Math.round((100 * (this.open.size + this.#whole.size)) / this.#bufferSlices)
  }

  /** True from when symbols were dropped for want of a buffer, until {@link noteCaughtUp}. */
  get isStarved(): boolean {
    return this.#isStarved
  }

  /** No slice is missing any more. */
  noteCaughtUp(): void {
    this.#isStarved = false
  }

  /** Share of the slice buffers that wait for the driver or are with it, 0 to 100. */
  get backlogPercent(): number {
    return Math.round((100 * this.#offered.size) / this.#bufferSlices)
  }

  /** True when the slice is open, whole or settled. */
  has(slice: number): boolean {
    return this.open.has(slice) || this.#whole.has(slice) || this.settled.has(slice)
  }

  /** True when every slice below `sliceCount` is whole or settled: nothing more is needed from the network. */
  hasAll(sliceCount: number): boolean {
    return this.settled.count + this.#whole.size >= sliceCount
  }

  /** First slice in [from, below) of which nothing is held; undefined when there is none. */
  nextMissing(from: number, below: number): number | undefined {
    for (let slice = this.settled.nextUnsettled(from); slice < below; slice = this.settled.nextUnsettled(slice + 1)) {
      if (!this.open.has(slice) && !this.#whole.has(slice)) return slice
    }
    return undefined
  }

  /** End of the range of slices from `first` on, none of which is held, at most `below`. */
  missingEnd(first: number, below: number): number {
    let end = this.settled.nextSettled(first, below)
    for (const held of this.open.keys()) if (held >= first && held < end) end = held
    for (const held of this.#whole.keys()) if (held >= first && held < end) end = held
    return end
  }

  /** True once after each change that can make a slice due for a NACK sooner than was to be seen before. */
  takeChange(): boolean {
    const hasChanged = this.#hasChanged
    this.#hasChanged = false
    return hasChanged
  }

  /** Notes that so many slices have begun: an Announce or End says so. */
  noteBegun(nowUs: number, begunCount: number, hasEnded: boolean): void {
    if (this.#listensFrom === undefined) {
      this.#listensFrom = this.#begunCount = begunCount
      this.#lastDataUs = nowUs
      this.#hasChanged = true
      // What came of the slice begun last, we did not listen to.
      this.#isLatestHeard = true
    } else if (begunCount > this.#begunCount) {
      this.#reach(nowUs, begunCount)
    }
    if (!hasEnded || this.#isLatestHeard || this.settled.has(this.#begunCount - 1)) return
    this.lostPackets += this.#typicalSourceCount
    this.#isLatestHeard = true
    this.#excusedSlice = this.#begunCount - 1
  }

  /** Takes a symbol, which lies in `bytes` at `symbolAt` (copied). The other values are within the session's limits. */
  accept(
    nowUs: number,
    slice: number,
    frameBytes: number,
    symbolIndex: number,
    bytes: Uint8Array,
    symbolAt: number,
  ): void {
    this.#lastDataUs = nowUs
    let open = this.#latest?.slice === slice ? this.#latest : this.open.get(slice)
    if (open === undefined) {
      // Also for a slice that an earlier run has settled, which else would be taken for one passed over.
      if (slice >= this.#begunCount) this.#reach(nowUs, slice + 1)
      if (slice === this.#begunCount - 1) this.#isLatestHeard = true
      if (this.settled.has(slice) || this.#whole.has(slice)) {
        this.duplicatePackets++
        return
      }
      open = this.#begin(slice, frameBytes)
      if (open === undefined) return
    } else if (open.frameBytes !== frameBytes) {
      this.malformedPackets++
      if (!open.noteConflict()) return
      open.begin(slice, frameBytes)
    }
    this.#latest = open
    const isNew = open.add(symbolIndex, bytes, symbolAt)
    this.#countGap(open, symbolIndex, isNew)
    open.lastHeardUs = nowUs
    open.askedInVain = 0
    open.isDeferred = false
    if (!isNew) this.duplicatePackets++
    else if (open.isWhole) this.#complete(open)
  }

  /** The next frame for the driver; it owes `settle` or `reject` for it. */
  takeWhole(): WholeFrame | undefined {
    const slice = this.#ready.shift()
    return slice === undefined ? undefined : { slice, frame: this.#whole.get(slice)!.frame }
  }

  /** @throws RangeError when the slice is not with the driver */
  settle(slice: number): void {
    this.#release(slice)
    this.settled.add(slice)
    if (slice === this.#nextInOrder) this.#offerInOrder()
  }

  /**
   * Forgets a slice. In sequence, those behind it wait until it has come again; the driver, which cannot use them before, rejects what
   * it has of them.
   * @returns whether it is the slice that is at fault, and not one before it
   * @throws RangeError when the slice is not with the driver
   */
  reject(slice: number): boolean {
    this.#release(slice)
    this.#excusedSlice = slice
    const isAtFault = !this.#isSequential || slice < this.#nextInOrder
    this.#nextInOrder = Math.min(this.#nextInOrder, slice)
    return isAtFault
  }

  /** The first pass has sent all of an open slice, which is about to be asked for: what has not come is lost. */
  endFirstPass(open: OpenSlice): void {
    if (open.isPassed) return
    this.#countTail(open)
    open.isPassed = true
    open.lastIndex = Math.max(open.lastIndex, open.sourceCount - 1)
  }

  /**
   * Counts losses when they show, not when the slice is asked for: a rate that has changed since would make too much or too little of them.
   * A symbol of the first pass that comes after all was not lost.
   */
  #countGap(open: OpenSlice, symbolIndex: number, isNew: boolean): void {
    if (open.isPassed) {
      if (open.lastIndex >= 0) this.lostPackets += Math.max(0, symbolIndex - open.lastIndex - 1)
    } else if (open.slice >= (this.#listensFrom ?? 0)) {
      if (symbolIndex >= open.accountedEnd) this.lostPackets += symbolIndex - open.accountedEnd
      else if (isNew) this.lostPackets--
    }
    open.accountedEnd = Math.max(open.accountedEnd, symbolIndex + 1)
    open.lastIndex = symbolIndex
  }

  #countTail(open: OpenSlice): void {
    if (open.slice >= (this.#listensFrom ?? 0)) this.lostPackets += Math.max(0, open.sourceCount - open.accountedEnd)
    open.accountedEnd = Math.max(open.accountedEnd, open.sourceCount)
  }

  /** Takes over what an earlier run has settled. Nothing of these is needed. Before any slice was handed out. */
  restore(settled: SettledMap): void {
    this.settled = settled
    for (const held of [this.open, this.#whole]) {
      for (const [slice, buffer] of held) if (settled.has(slice) && held.delete(slice)) this.#free.push(buffer)
    }
    for (const slice of this.#ready.splice(0)) {
      if (this.#whole.has(slice)) this.#ready.push(slice)
      else this.#offered.delete(slice)
    }
    this.#latest = undefined
    this.#hasChanged = true
    if (this.#isSequential) this.#offerInOrder()
  }

  /**
   * The sender begins again: what is open is forgotten, what is settled or with the driver stays.
   * @param isSealed what is whole and waits is sealed for the session before, and is forgotten, too
   */
  restart(isSealed: boolean): void {
    for (const open of this.open.values()) this.#free.push(open)
    this.open.clear()
    if (isSealed) this.#forgetWaiting()
    this.#latest = undefined
    this.#begunCount = 0
    this.#isStarved = false
    this.#listensFrom = undefined
  }

  /** Slices that are passed over without a symbol of theirs are lost, but for those that were settled before they began. */
  #reach(nowUs: number, begunCount: number): void {
    const from = this.#begunCount - (this.#isLatestHeard || this.#begunCount === 0 ? 0 : 1)
    this.lostPackets += this.settled.unsettledCount(from, begunCount - 1) * this.#typicalSourceCount
    const passed = this.open.get(this.#begunCount - 1)
    if (passed?.isPassed === false) this.#countTail(passed)
    this.#begunCount = begunCount
    this.#isLatestHeard = false
    this.#lastDataUs = nowUs
    this.#hasChanged = true
  }

  #begin(slice: number, frameBytes: number): OpenSlice | undefined {
    const open = slice < this.acceptsBelow ? (this.#takeFree() ?? this.#evictFor(slice)) : undefined
    if (open === undefined) {
      this.droppedForBuffers++
      this.#isStarved = true
      this.#excusedSlice = slice
      return undefined
    }
    open.begin(slice, frameBytes)
    // Losses of slices passed over have been counted.
    open.isPassed = slice < this.#begunCount - 1 || slice === this.#excusedSlice
    this.open.set(slice, open)
    this.#typicalSourceCount = open.sourceCount
    this.#hasChanged = true
    return open
  }

  #takeFree(): OpenSlice | undefined {
    const open = this.#free.pop()
    if (open !== undefined || this.#madeCount === this.#bufferSlices) return open
    this.#madeCount++
    const { symbolBytes } = this.#geometry
    return new OpenSlice(this.#placeCount, symbolBytes, this.#makeBuffer?.(this.#placeCount * symbolBytes))
  }

  /**
   * Gives up the emptiest of the open slices that the sender will mend only after the main pass, as it said or as NACKs in vain show;
   * when there is none, of those that come after this one and are less than half full. So the pool neither fills up with what cannot be finished soon, nor do newer
   * slices stop older ones.
   */
  #evictFor(slice: number): OpenSlice | undefined {
    let emptiest: OpenSlice | undefined
    for (const open of this.open.values()) {
      const mayGo = waitsForMending(open) || (open.slice > slice && open.heldCount * 2 < open.sourceCount)
      if (!mayGo || (emptiest !== undefined && rank(open) >= rank(emptiest))) continue
      emptiest = open
    }
    if (emptiest === undefined) return undefined
    this.droppedForBuffers += emptiest.heldCount
    this.#isStarved = true
    this.#excusedSlice = emptiest.slice
    this.open.delete(emptiest.slice)
    return emptiest
  }

  #complete(open: OpenSlice): void {
    this.endFirstPass(open)
    this.parityUsed += open.rebuild(this.#decoder)
    this.open.delete(open.slice)
    this.#latest = undefined
    this.#whole.set(open.slice, open)
    if (this.#isSequential) this.#offerInOrder()
    else this.#offer(open.slice)
  }

  /** Offers what is whole from the slice on whose turn it is. One that the driver still has, from before a rejection, holds up the rest. */
  #offerInOrder(): void {
    for (; ; this.#nextInOrder++) {
      const slice = this.#nextInOrder
      if (this.settled.has(slice)) continue
      if (!this.#whole.has(slice) || this.#offered.has(slice)) return
      this.#offer(slice)
    }
  }

  #offer(slice: number): void {
    this.#ready.push(slice)
    this.#offered.add(slice)
  }

  /** Forgets the whole slices that the driver has not been given. */
  #forgetWaiting(): void {
    for (const slice of this.#ready.splice(0)) {
      this.#offered.delete(slice)
      this.#nextInOrder = Math.min(this.#nextInOrder, slice)
    }
    for (const [slice, whole] of this.#whole) {
      if (!this.#offered.has(slice) && this.#whole.delete(slice)) this.#free.push(whole)
    }
  }

  #release(slice: number): void {
    const open = this.#whole.get(slice)
    if (open === undefined || !this.#offered.has(slice) || this.#ready.includes(slice))
      throw new RangeError(`slice ${slice} is not with the driver`)
    this.#whole.delete(slice)
    this.#offered.delete(slice)
    this.#free.push(open)
    this.#hasChanged = true
  }
}

/** A sender that has put this receiver off for being slow does not answer its NACKs. */
const waitsForMending = (open: OpenSlice): boolean => open.isDeferred || open.askedInVain >= VAIN_NACK_COUNT

/** Order of eviction: slices that wait for the mending first, then the emptiest. */
const rank = (open: OpenSlice): number => (waitsForMending(open) ? 0 : 256) + open.heldCount
