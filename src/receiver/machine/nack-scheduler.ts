import {
  backoffWindowUs,
  holdoffUs,
  JOIN_DRAW_COUNT,
  LIMITS,
  MAX_RECEIVER_COUNT,
  MAX_SYMBOL_COUNT,
  MIN_GRTT_US,
  type Announce,
  type Deficit,
  type Nack,
  type RepairEcho,
  type SliceRange,
} from '../../protocol/index.ts'
import type { Random } from '../../random.ts'
import { drawBackoffUs } from './backoff.ts'
import type { OpenSlice } from './open-slice.ts'
import { QuietRanges } from './quiet-ranges.ts'
import type { SliceAssembly } from './slice-assembly.ts'

/** Holdoff grows with each NACK in vain up to this, microseconds, unless the first is longer already. Ours. */
const MAX_GROWN_HOLDOFF_US = 1_000_000

/** How long a slice waits that the sender will mend after the main pass, and any slice at most, microseconds. Ours. */
const MAX_QUIET_US = 2_000_000

/** Symbols that may be late by reordering, or by the pacing of bursts, before a slice counts as sent. Ours. */
const REORDER_SYMBOLS = 4

/** The same for the slice begun last, when nothing tells that it has been sent. Ours. */
const TAIL_SYMBOLS = 32

/** Least time between two NACKs, microseconds: a receiver that comes late may need many. Ours. */
const MIN_NACK_GAP_US = 1_000

/** What a NACK says: {@link Nack} without its sender. */
export type NackContent = Pick<Nack, 'deficits' | 'missing'>

/**
 * Decides when to send a NACK, and what it says. A slice is due when the sender has finished with it, it is not whole, and neither
 * its holdoff nor an echo keeps it quiet. The first that is due starts the backoff; at its end one NACK names all that are due then.
 */
export class NackScheduler {
  /** NACKs that echoes made needless during the backoff. */
  suppressedCount = 0

  readonly #assembly: SliceAssembly
  readonly #random: Random
  readonly #quiet = new QuietRanges()
  #groupCount = 1
  #grttUs = MIN_GRTT_US
  /** Time that a symbol takes at the announced rate. */
  #symbolUs = 0
  #isMending = false
  /** From when on all that has begun counts as sent; undefined before End. */
  #tailUs: number | undefined
  /** Nothing can be due before. */
  #checkUs = Infinity
  /** End of the backoff. */
  #nackUs: number | undefined
  #wasEchoed = false
  #lastNackUs = -Infinity
  /** NACKs for unheard slices since a symbol of any slice last arrived. */
  #missingAskedInVain = 0
  #missingAskedUs = -Infinity

  constructor(assembly: SliceAssembly, random: Random) {
    this.#assembly = assembly
    this.#random = random
  }

  get quietRangeCount(): number {
    return this.#quiet.count
  }

  /** When to `poll` next; Infinity: only after an input. */
  get nextUs(): number {
    return this.#nackUs ?? this.#checkUs
  }

  /** Takes the timing and the phase of an announce. */
  handleAnnounce(nowUs: number, announce: Announce): void {
    const { feedback, packetBytes, phase, rateBitsPerSec } = announce
    // Those who may not join yet ask for repairs too: the share that may tells how many there are.
    const groupCount = Math.ceil((feedback.groupCount * JOIN_DRAW_COUNT) / Math.max(1, feedback.joinLimit))
    this.#groupCount = Math.min(MAX_RECEIVER_COUNT, Math.max(1, groupCount))
    this.#grttUs = feedback.grttUs
    this.#symbolUs = rateBitsPerSec === 0 ? 0 : Math.min(MAX_QUIET_US, (packetBytes * 8e6) / rateBitsPerSec)
    if (phase === 'mending' && !this.#isMending) this.#startMending(nowUs)
    this.#isMending = phase === 'mending'
  }

  /** Everything has been sent once; what is still under way is here within a round trip. */
  handleEnd(nowUs: number): void {
    if (this.#tailUs !== undefined) return
    this.#tailUs = nowUs + this.#grttUs
    this.arm(this.#tailUs)
  }

  /** Repairs that others have asked for (or we have): what they cover is not asked for now. */
  handleEcho(nowUs: number, echo: RepairEcho): void {
    const { open: openSlices, typicalSourceCount } = this.#assembly
    const symbolCount = echo.pending.reduce((sum, entry) => sum + entry.symbolCount, 0)
    const pendingUntilUs = nowUs + this.#quietUs(0, symbolCount)
    for (const { slice, symbolCount } of echo.pending) {
      const open = openSlices.get(slice)
      if (open === undefined) {
        if (symbolCount < typicalSourceCount || this.#assembly.has(slice)) continue
        this.#quiet.add(nowUs, slice, slice + 1, pendingUntilUs)
      } else {
        if (symbolCount < open.deficit) continue
        open.quietUntilUs = Math.max(open.quietUntilUs, pendingUntilUs)
      }
      this.#wasEchoed = true
    }
    for (const { first, count } of echo.deferred) {
      const untilUs = nowUs + (this.#isMending ? this.#quietUs(0, count * typicalSourceCount) : MAX_QUIET_US)
      this.#quiet.add(nowUs, first, first + count, untilUs)
      for (const open of openSlices.values()) {
        if (open.slice < first || open.slice >= first + count) continue
        open.quietUntilUs = Math.max(open.quietUntilUs, untilUs)
        open.isDeferred = !this.#isMending
      }
      this.#wasEchoed = true
    }
  }

  /** The driver threw the slice away: it is asked for again without holdoff. */
  handleReject(nowUs: number, slice: number): void {
    this.#quiet.wake(slice)
    this.arm(nowUs)
  }

  /** The sender begins again. */
  restart(): void {
    this.#quiet.clear()
    this.#isMending = false
    this.#tailUs = this.#nackUs = undefined
    this.#checkUs = Infinity
  }

  /** Something may be due at `atUs` or later. */
  arm(atUs: number): void {
    this.#checkUs = Math.min(this.#checkUs, Math.ceil(atUs))
  }

  /** Time after which a packet that has not come is taken for lost, microseconds. */
  get reorderUs(): number {
    return Math.ceil(this.#grttUs / 4 + REORDER_SYMBOLS * this.#symbolUs)
  }

  /** The NACK to send now, if any. */
  poll(nowUs: number): NackContent | undefined {
    for (;;) {
      if (this.#nackUs === undefined) {
        if (nowUs < this.#checkUs) return undefined
        const { worstDeficit, nextUs } = this.#look(nowUs)
        if (worstDeficit === 0) {
          this.#checkUs = Math.ceil(nextUs)
          return undefined
        }
        const windowUs = backoffWindowUs(this.#groupCount, this.#grttUs)
        const backoffUs = drawBackoffUs(this.#random, windowUs, this.#groupCount, worstDeficit)
        this.#nackUs = Math.max(nowUs, this.#lastNackUs + MIN_NACK_GAP_US) + backoffUs
        this.#wasEchoed = false
      }
      if (nowUs < this.#nackUs) return undefined
      this.#nackUs = undefined
      this.#checkUs = nowUs
      const content = this.#collect(nowUs)
      if (content !== undefined) {
        this.#lastNackUs = nowUs
        return content
      }
      if (this.#wasEchoed) this.suppressedCount++
    }
  }

  /** The largest deficit that is due now (0: none), and when the next is. */
  #look(nowUs: number): { worstDeficit: number; nextUs: number } {
    let worstDeficit = 0
    let nextUs = Infinity
    for (const open of this.#assembly.open.values()) {
      const dueUs = this.#dueUs(open)
      if (dueUs > nowUs) nextUs = Math.min(nextUs, dueUs)
      else worstDeficit = Math.max(worstDeficit, open.deficit)
    }
    if (this.#assembly.freeCount <= 0) return { worstDeficit, nextUs }
    const below = this.#sentBelow(nowUs)
    if (this.#nextDueMissing(nowUs, this.#assembly.settled.low, below) !== undefined) {
      return { worstDeficit: Math.max(worstDeficit, this.#assembly.typicalSourceCount), nextUs }
    }
    if (this.#assembly.nextMissing(this.#assembly.settled.low, below) === undefined) this.#assembly.noteCaughtUp()
    nextUs = Math.min(nextUs, this.#quiet.nextExpiryUs(nowUs, below))
    const tailUs = this.#tailDueUs
    return { worstDeficit, nextUs: tailUs > nowUs ? Math.min(nextUs, tailUs) : nextUs }
  }

  #collect(nowUs: number): NackContent | undefined {
    const deficits: Deficit[] = []
    let symbolCount = 0
    const due: OpenSlice[] = []
    for (const open of this.#assembly.open.values()) {
      if (this.#dueUs(open) > nowUs) continue
      due.push(open)
      deficits.push({ slice: open.slice, deficit: open.deficit, heard: open.heardEnd })
      symbolCount += open.deficit
      if (due.length === LIMITS.slicesPerMessage) break
    }
    for (const open of due) {
      if (!this.#mayBeUnderWay(open)) this.#assembly.endFirstPass(open)
      open.quietUntilUs = nowUs + this.#quietUs(open.askedInVain++, symbolCount)
    }
    const missing = this.#assembly.freeCount > 0 ? this.#collectMissing(nowUs) : []
    return deficits.length + missing.length === 0 ? undefined : { deficits, missing }
  }

  /**
   * Ranges of slices of which nothing is held. A receiver that has run out of buffers asks for no more than fit the free ones,
   * until it has caught up: the rest would be dropped again.
   */
  #collectMissing(nowUs: number): SliceRange[] {
    const below = this.#sentBelow(nowUs)
    const { lastDataUs, settled, typicalSourceCount } = this.#assembly
    let room = this.#assembly.isStarved ? this.#assembly.freeCount : Infinity
    const ranges: SliceRange[] = []
    let sliceCount = 0
    let at = settled.low
    while (ranges.length < LIMITS.rangesPerMessage && room > 0) {
      const first = this.#nextDueMissing(nowUs, at, below)
      if (first === undefined) {
        at = below
        break
      }
      const end = this.#quiet.nextQuiet(nowUs, first, this.#assembly.missingEnd(first, below))
      const count = Math.min(end - first, room)
      ranges.push({ first, count })
      sliceCount += count
      room -= count
      at = end
    }
    if (ranges.length === 0) return ranges
    if (lastDataUs > this.#missingAskedUs) this.#missingAskedInVain = 0
    const untilUs = nowUs + this.#quietUs(this.#missingAskedInVain++, sliceCount * typicalSourceCount)
    this.#missingAskedUs = nowUs
    this.#quiet.add(nowUs, settled.low, room > 0 ? at : below, untilUs)
    return ranges
  }

  #nextDueMissing(nowUs: number, from: number, below: number): number | undefined {
    for (let at = from; ;) {
      const slice = this.#assembly.nextMissing(at, below)
      if (slice === undefined) return undefined
      at = this.#quiet.nextLoud(nowUs, slice)
      if (at === slice) return slice
    }
  }

  /** Slices below this that have not come by now are lost. */
  #sentBelow(nowUs: number): number {
    const { acceptsBelow, begunCount } = this.#assembly
    return Math.min(acceptsBelow, nowUs >= this.#tailDueUs ? begunCount : Math.max(0, begunCount - 1))
  }

  /** From when on the slice begun last counts as sent. While any data comes, it may be that repairs go first. */
  get #tailDueUs(): number {
    if (this.#tailUs !== undefined) return this.#tailUs
    const waitUs = Math.max(holdoffUs(this.#groupCount, this.#grttUs), TAIL_SYMBOLS * this.#symbolUs)
    return this.#assembly.lastDataUs + Math.ceil(waitUs)
  }

  /** True for the slice begun last before End: the sender may have stopped in the middle of it, and nothing is lost. */
  #mayBeUnderWay(open: OpenSlice): boolean {
    return this.#tailUs === undefined && open.slice >= this.#assembly.begunCount - 1
  }

  /** When the slice may be named in a NACK. */
  #dueUs(open: OpenSlice): number {
    // Of a slice whose repair is arriving, the rest is at most a round trip behind.
    const waitUs = this.reorderUs + (open.isPassed ? 2 * this.#grttUs : 0)
    const isLatest = open.slice >= this.#assembly.begunCount - 1
    return Math.max(open.lastHeardUs + waitUs, open.quietUntilUs, isLatest ? this.#tailDueUs : 0)
  }

  /** Holdoff after a NACK or an echo that asks for or tells of so many symbols. */
  #quietUs(askedInVain: number, symbolCount: number): number {
    const holdUs = holdoffUs(this.#groupCount, this.#grttUs)
    const grownUs = Math.min(Math.max(holdUs, MAX_GROWN_HOLDOFF_US), holdUs * 2 ** Math.min(askedInVain, 10))
    return Math.ceil(Math.min(Math.max(holdUs, MAX_QUIET_US), grownUs + symbolCount * this.#symbolUs))
  }

  /** What was deferred is mended from now on: nothing stays quiet for longer than mending it all takes. */
  #startMending(nowUs: number): void {
    const { open: openSlices } = this.#assembly
    const untilUs = nowUs + this.#quietUs(0, openSlices.size * MAX_SYMBOL_COUNT)
    this.#quiet.limit(untilUs)
    for (const open of openSlices.values()) {
      open.isDeferred = false
      open.quietUntilUs = Math.min(open.quietUntilUs, untilUs)
    }
    this.arm(nowUs + this.reorderUs)
  }
}
