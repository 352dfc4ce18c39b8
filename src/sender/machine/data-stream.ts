import { holdoffUs, type Join, type Micros, type Nack } from '../../protocol/index.ts'
import type { FrameWindow } from './frame-window.ts'
import { PacketWriter } from './packet-writer.ts'
import { ProactiveParity } from './proactive-parity.ts'
import type { RepairPlanner } from './repair-planner.ts'
import type { SenderMachineOptions } from './sender-options.ts'
import type { SliceTable } from './slice-table.ts'
import { SparedSlices } from './spared-slices.ts'

/** Symbols of the main pass for each one of a slice that is wanted whole, at least: so these take up to a third of the rate. Ours. */
const PASS_SYMBOLS = 2

/**
 * The same for each one of a slice that receivers hold part of, so that these take up to two thirds: more, since until they have come,
 * buffers are full and the main pass is in vain. Ours.
 */
const PARTLY_PASS_SYMBOLS = 0.5

type StreamOptions = ConstructorParameters<typeof PacketWriter>[0] & Pick<SenderMachineOptions, 'fec' | 'canReread'>

/** The group, as far as it times repairs. */
interface Group {
  readonly groupCount: number
  readonly grttUs: number
}

/** The data packets in the order in which they go out: the main pass over the image, with the parity sent unasked, and due repairs. */
export class DataStream {
  readonly #table: SliceTable
  readonly #window: FrameWindow
  readonly #planner: RepairPlanner
  readonly #writer: PacketWriter
  readonly #parity: ProactiveParity
  readonly #spared: SparedSlices
  /** The main pass: slice and symbol to send next. */
  #passSlice = 0
  #passSymbol = 0
  #begunCount = 0
  /** Symbols that repairs owe to the main pass, at most 3: from one on, it comes first. */
  #passDebt = 0
  readonly #counters = { sourceSymbols: 0, proactiveSymbols: 0, paritySymbols: 0, resentSymbols: 0 }

  constructor(options: StreamOptions, table: SliceTable, window: FrameWindow, planner: RepairPlanner) {
    this.#table = table
    this.#window = window
    this.#planner = planner
    this.#writer = new PacketWriter(options)
    this.#parity = new ProactiveParity(options.fec)
    this.#spared = new SparedSlices(options.canReread)
  }

  /** The slice that the main pass is at: it is past all below. */
  get passSlice(): number {
    return this.#passSlice
  }

  /** Slices of which a packet has been sent, or that were spared. */
  get begunCount(): number {
    return this.#begunCount
  }

  /** Symbols sent so far, by what they were sent for. */
  get counters(): Readonly<Record<'sourceSymbols' | 'proactiveSymbols' | 'paritySymbols' | 'resentSymbols', number>> {
    return this.#counters
  }

  /** Slices that the main pass has left out. */
  get sparedCount(): number {
    return this.#spared.count
  }

  /** When there is a packet to send; undefined: not before there is another frame or NACK. */
  readyAtUs(nowUs: Micros): Micros | undefined {
    return this.#window.has(this.#passSlice) ? nowUs : this.#planner.nextDueUs()
  }

  /** Learns what a receiver has already. */
  noteJoin(join: Join): void {
    this.#spared.note(join.settled ?? [])
  }

  /** Passes over slices in memory that need not be sent. @returns whether there were any */
  spare(): boolean {
    const from = this.#passSlice
    if (this.#passSymbol > 0) return false
    this.#begunCount = this.#passSlice = this.#spared.passOver(from, this.#window)
    return this.#passSlice > from
  }

  /** Learns what slices need from a NACK that is not put off. */
  noteNack(nack: Nack): void {
    for (const { slice, deficit } of nack.deficits) this.#parity.noteDeficit(slice, deficit)
  }

  /** The frame's buffer will be used for another slice. */
  forget(frame: Uint8Array): void {
    this.#writer.forget(frame)
  }

  /** Writes the packet that comes next to `into` at `at`. False when there is none. */
  nextInto(nowUs: Micros, into: Uint8Array, at: number, group: Group): boolean {
    const due = this.#planner.dueSlice(nowUs)
    const hasPass = this.#window.has(this.#passSlice)
    // Repairs go first, but leave the main pass its share: who asks for everything must not stop it.
    if (due !== undefined && (!hasPass || this.#passDebt < 1)) {
      // What nothing was kept waiting for is not owed.
      if (hasPass) this.#passDebt += this.#planner.isPartly(due) ? PARTLY_PASS_SYMBOLS : PASS_SYMBOLS
      this.#repairInto(nowUs, into, at, due)
    } else if (hasPass) this.#passInto(nowUs, into, at, group)
    else return false
    return true
  }

  #repairInto(nowUs: Micros, into: Uint8Array, at: number, slice: number): void {
    const sourceCount = this.#window.sourceSymbolCount(slice)!
    const symbol = this.#planner.takeSymbol(nowUs, slice, sourceCount)
    if (symbol < sourceCount) this.#counters.resentSymbols++
    else this.#counters.paritySymbols++
    this.#writer.writeInto(into, at, slice, this.#window.frame(slice)!, sourceCount, symbol)
  }

  #passInto(nowUs: Micros, into: Uint8Array, at: number, { groupCount, grttUs }: Group): void {
    this.#passDebt = Math.max(0, this.#passDebt - 1)
    const slice = this.#passSlice
    const sourceCount = this.#window.sourceSymbolCount(slice)!
    const symbol = this.#table.advance(slice)
    this.#begunCount = slice + 1
    if (symbol < sourceCount) this.#counters.sourceSymbols++
    else this.#counters.proactiveSymbols++
    this.#writer.writeInto(into, at, slice, this.#window.frame(slice)!, sourceCount, symbol)
    if (++this.#passSymbol < sourceCount + this.#parity.symbolCount(sourceCount, groupCount)) return
    this.#window.noteSent(nowUs, slice)
    this.#parity.noteSent(nowUs, slice, sourceCount, this.#passSymbol - sourceCount)
    this.#parity.learn(nowUs - holdoffUs(groupCount, grttUs))
    this.#passSlice++
    this.#passSymbol = 0
  }
}
