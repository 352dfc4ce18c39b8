import { MAX_SLICE_COUNT, type Micros } from '../../protocol/index.ts'
import type { FrameWindow } from './frame-window.ts'
import type { RepairPlanner } from './repair-planner.ts'
import type { SenderEvent, SenderMachineOptions } from './sender-options.ts'
import type { SliceTable } from './slice-table.ts'

/** Slices read ahead of the one being sent. */
const READ_AHEAD_SLICES = 16

/** Where the session stands, as far as the supply of frames goes. */
export interface SupplyState {
  readonly isMending: boolean
  /** The source has told its end: there is nothing more to ask for. */
  readonly hasEnded: boolean
  /** The slice of the first pass that is being sent. */
  readonly passSlice: number
  /** Frames of slices from this on must stay in memory. */
  readonly holdFrom: number
}

/**
 * Keeps the window filled: asks the driver for the slices that come next, and in the mending phase for those to be mended, and
 * lets the oldest frames go to make room.
 */
export class FrameSupply {
  readonly #limit: number
  readonly #canReread: boolean
  readonly #readAhead: number
  readonly #table: SliceTable
  readonly #window: FrameWindow
  readonly #planner: RepairPlanner
  readonly #emit: (event: SenderEvent) => void
  #givenCount = 0
  #nextCredits = 0
  readonly #again = new Set<number>()

  constructor(
    options: Pick<SenderMachineOptions, 'windowSlices' | 'canReread'>,
    table: SliceTable,
    window: FrameWindow,
    planner: RepairPlanner,
    emit: (event: SenderEvent) => void,
  ) {
    this.#limit = options.windowSlices
    this.#canReread = options.canReread
    this.#readAhead = Math.min(READ_AHEAD_SLICES, options.windowSlices >> 1)
    this.#table = table
    this.#window = window
    this.#planner = planner
    this.#emit = emit
  }

  /**
   * Asks the driver for frames while there is room, and makes room.
   * @returns false when more is wanted but the frames to be held leave no room
   */
  refill(state: SupplyState): boolean {
    for (;;) {
      const ahead = this.#givenCount + this.#nextCredits - state.passSlice
      const wantsNext = !state.hasEnded && ahead < this.#readAhead
      const wantsAgain =
        state.isMending && this.#again.size < this.#readAhead && this.#planner.deferredCount > this.#again.size
      if (!wantsNext && !wantsAgain) return true
      const isFull = this.#window.size + this.#nextCredits + this.#again.size >= this.#limit
      if (isFull && !this.#evict(state)) return false
      if (wantsNext) {
        this.#nextCredits++
        this.#emit({ kind: 'next' })
      } else {
        const isHeld = (index: number): boolean => this.#window.has(index) || this.#again.has(index)
        const slice = this.#planner.takeDeferred(state.passSlice, isHeld)
        if (slice === undefined) return true
        this.#again.add(slice)
        this.#emit({ kind: 'again', slice })
      }
    }
  }

  /**
   * Takes a frame that was asked for.
   * @throws RangeError when it was not
   */
  take(nowUs: Micros, slice: number, frame: Uint8Array): void {
    if (this.#again.delete(slice)) {
      this.#window.add(slice, frame)
      this.#planner.restore(nowUs, slice, this.#window.sourceSymbolCount(slice)!)
      return
    }
    if (slice !== this.#givenCount || this.#nextCredits === 0) throw new RangeError(`slice ${slice} was not asked for`)
    if (slice >= MAX_SLICE_COUNT) throw new RangeError(`an image has at most ${MAX_SLICE_COUNT} slices`)
    this.#nextCredits--
    this.#givenCount++
    this.#table.reach(slice)
    this.#window.add(slice, frame)
  }

  /** The source has ended: what was asked for will not come. */
  end(): void {
    this.#nextCredits = 0
  }

  /** Lets the oldest frame go that need not be held: of a slice that has been sent, and while mending is not about to be sent. */
  #evict({ isMending, passSlice, holdFrom }: SupplyState): boolean {
    const below = Math.min(passSlice, holdFrom)
    const slice = this.#window.oldest((index) => index < below && (!isMending || this.#table.pending(index) === 0))
    if (slice === undefined) return false
    this.#planner.evict(slice, !this.#canReread)
    this.#emit({ kind: 'release', frame: this.#window.remove(slice)! })
    return true
  }
}
