import { JournalFile, monotonicUs } from '../io/index.ts'
import type { ResumableSink } from '../sparse/index.ts'
import {
  encodeHeader,
  encodeRecord,
  encodeSlices,
  JOURNAL_MAGIC,
  MAX_RECORD_SLICES,
  NO_TOTALS,
  SUM_BYTES,
  type JournalEntry,
  type JournalHeader,
  type JournalTotals,
} from './journal-format.ts'
import type { FoundJournal } from './journal-reader.ts'

/** Shortest time from the end of one flush to the next, milliseconds: about what a killed receiver is sent twice. Ours. */
const FLUSH_INTERVAL_MS = 1000

/** A flush that took long is followed by a pause so many times as long, so that flushing stays a small part of the work. Ours. */
const PAUSE_FACTOR = 4

/** What a journal needs to know of a slice that was written. */
export interface WrittenSlice extends JournalEntry {
  readonly spanStart: number
  readonly spanEnd: number
  /** End of its last run of data; 0 without any. */
  readonly dataEnd: number
  readonly zeroRunCount: number
}

/**
 * Keeps on disk which slices of a target are on disk: first the target is flushed, then what was written before that is recorded,
 * then the journal is flushed. The file is made with the first record, so a short transfer has none.
 *
 * A journal that cannot be written ends quietly: what it holds by then stays true.
 *
 * Memory: about 200 bytes for each slice written since the last flush.
 */
export class Journal {
  readonly path: string
  readonly #sink: ResumableSink
  readonly #header: JournalHeader
  readonly #onLost: (error: unknown) => void
  #file: JournalFile | undefined
  #sum: Uint8Array = new Uint8Array(SUM_BYTES)
  #totals: JournalTotals = NO_TOTALS
  #pending: WrittenSlice[] = []
  #timer: NodeJS.Timeout | undefined
  #flushing: Promise<void> | undefined
  #isOver = false

  private constructor(sink: ResumableSink, path: string, header: JournalHeader, onLost: (error: unknown) => void) {
    this.#sink = sink
    this.path = path
    this.#header = header
    this.#onLost = onLost
  }

  /**
   * A journal of a target that was begun anew.
   * @param sink is open
   * @param onLost is told, once, why there will be no more records: JOURNAL_FAILED, or what the sink's `flush` throws
   */
  static begin(sink: ResumableSink, path: string, header: JournalHeader, onLost: (error: unknown) => void): Journal {
    return new Journal(sink, path, header, onLost)
  }

  /** Goes on with the journal of an earlier run, which it takes over. */
  static continue(sink: ResumableSink, found: FoundJournal, onLost: (error: unknown) => void): Journal {
    const { file, header, totals, sum } = found
    const journal = new Journal(sink, file.path, header, onLost)
    journal.#file = file
    journal.#totals = totals
    journal.#sum = sum
    return journal
  }

  /** Notes that a slice was written, not yet flushed. */
  note(written: WrittenSlice): void {
    // What the sink holds back is not on disk before the end: that slice is sent again.
    if (this.#isOver || written.spanStart < this.#sink.heldBytes) return
    this.#pending.push({ ...written, digest: written.digest.slice() })
    if (this.#flushing === undefined) this.#timer ??= setTimeout(() => this.#flushAndPause(), FLUSH_INTERVAL_MS)
  }

  /**
   * Records nothing more: something else is about to flush the target, or has failed to write it. Linux tells an error of
   * writing back once, to whichever call asks first, so from then on no flush can vouch for what was written.
   * @returns when no flush is under way any more; `onLost` was told by then when that one has failed
   */
  async stop(): Promise<void> {
    this.#end()
    await this.#flushing
  }

  /** Ends with the target unfinished: flushes and records the rest, unless it was stopped. Leaves no file without a record. */
  async close(): Promise<void> {
    await this.#flushing
    clearTimeout(this.#timer)
    await (this.#flushing = this.#flush())
    this.#end()
    if (this.#totals === NO_TOTALS) await this.#file?.remove()
    else await this.#file?.close()
  }

  /** The target is complete, or what is recorded is of no use: takes the file away. */
  async remove(): Promise<void> {
    await this.stop()
    await this.#file?.remove()
  }

  #end(): void {
    this.#isOver = true
    this.#pending = []
    clearTimeout(this.#timer)
  }

  #flushAndPause(): void {
    const beganUs = monotonicUs()
    this.#flushing = this.#flush().finally(() => {
      this.#flushing = this.#timer = undefined
      if (this.#isOver) return
      const pauseMs = Math.max(FLUSH_INTERVAL_MS, (PAUSE_FACTOR * (monotonicUs() - beganUs)) / 1000)
      this.#timer = setTimeout(() => this.#flushAndPause(), pauseMs)
    })
  }

  async #flush(): Promise<void> {
    if (this.#pending.length === 0) return
    const written = this.#pending
    this.#pending = []
    try {
      await this.#sink.flush()
      if (this.#isOver) return
      for (let at = 0; at < written.length; at += MAX_RECORD_SLICES) {
        await this.#record(written.slice(at, at + MAX_RECORD_SLICES))
      }
    } catch (error) {
      this.#end()
      this.#onLost(error)
    }
  }

  async #record(written: readonly WrittenSlice[]): Promise<void> {
    const totals = { ...this.#totals }
    for (const { spanStart, spanEnd, dataEnd, zeroRunCount } of written) {
      totals.coveredBytes += spanEnd - spanStart
      totals.spansEnd = Math.max(totals.spansEnd, spanEnd)
      totals.dataEnd = Math.max(totals.dataEnd, dataEnd)
      totals.zeroRunCount += zeroRunCount
    }
    const head = this.#file === undefined ? encodeRecord(this.#sum, encodeHeader(this.#header)) : undefined
    const record = encodeRecord(head?.subarray(-SUM_BYTES) ?? this.#sum, encodeSlices(written, totals))
    this.#file ??= await JournalFile.create(this.path)
    await this.#file.append(head === undefined ? record : Buffer.concat([JOURNAL_MAGIC, head, record]))
    this.#sum = record.subarray(-SUM_BYTES)
    this.#totals = totals
  }
}
