import { failureText, type Failure } from './failure.ts'
import { printable, type LineWriter } from './line-writer.ts'
import type { Outcome, Output, ProgressUpdate } from './output.ts'
import { formatPercent } from './quantities.ts'

/** Time between two lines of progress, milliseconds: a tenth of what has gone by, within these. A log of days of waiting stays short. */
const INTERVAL_MS = { least: 5000, most: 60_000 } as const

/** Lines of text for a log file, a pipe or a dumb terminal. */
export class PlainOutput implements Output {
  readonly #program: string
  readonly #writer: LineWriter
  readonly #isQuiet: boolean
  #phase = ''
  #nextMs = 0

  /** Quiet: errors only. */
  constructor(program: string, writer: LineWriter, isQuiet: boolean) {
    this.#program = program
    this.#writer = writer
    this.#isQuiet = isQuiet
  }

  progress({ phase, elapsedMs, percent, facts, details }: ProgressUpdate): void {
    if (this.#isQuiet || (phase === this.#phase && elapsedMs < this.#nextMs)) return
    this.#phase = phase
    this.#nextMs = elapsedMs + Math.min(INTERVAL_MS.most, Math.max(INTERVAL_MS.least, elapsedMs / 10))
    const head = percent === undefined ? [phase] : [phase, formatPercent(percent)]
    this.#writer.offer(this.#own([...head, ...facts, ...details].join(', ')))
  }

  log(line: string): void {
    if (!this.#isQuiet) this.#writer.write(this.#own(line))
  }

  note(line: string): void {
    this.log(line)
  }

  result({ summary }: Outcome): void {
    if (!this.#isQuiet) for (const line of summary) this.#writer.write(printable(line))
  }

  fail(failure: Failure, outcome?: Outcome): void {
    if (outcome !== undefined) this.result(outcome)
    this.#writer.write(failureText(this.#program, failure))
  }

  close(): Promise<void> {
    return this.#writer.flush()
  }

  #own(text: string): string {
    return printable(`${this.#program}: ${text}`)
  }
}
