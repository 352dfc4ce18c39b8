import type { Failure } from './failure.ts'
import type { LiveLine } from './live-lines.ts'

/** How far a transfer is: for programs (`raw`), and for people. */
export interface ProgressUpdate {
  /** The library's own progress, as JSON can hold it. */
  readonly raw: object
  /** What goes on, in a word or two; a change of it is worth a line. */
  readonly phase: string
  readonly elapsedMs: number
  /** 0 to 100, where it can be told. */
  readonly percent: number | undefined
  /** Position, rate, time left. */
  readonly facts: readonly string[]
  /** Loss, repairs, receivers. */
  readonly details: readonly string[]
  /** What a live display shows, as many lines each time. Left out: two lines of the above. */
  readonly live?: readonly LiveLine[]
}

/** What a transfer came to: for programs, and line by line for people. */
export interface Outcome {
  readonly raw: object
  readonly summary: readonly string[]
}

/** What a program tells its user, in the way that was asked for. */
export interface Output {
  progress(update: ProgressUpdate): void
  /** An event of the library's log. */
  log(line: string): void
  /** An answer to something that the user did: a key, a signal. */
  note(line: string): void
  result(outcome: Outcome): void
  /** `outcome` is there when some of it was reached all the same. */
  fail(failure: Failure, outcome?: Outcome): void
  /** Takes the progress display away and waits until all is written. */
  close(): Promise<void>
}
