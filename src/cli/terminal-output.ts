import { failureText, type Failure } from './failure.ts'
import { LineWriter, printable } from './line-writer.ts'
import type { Outcome, Output, ProgressUpdate } from './output.ts'
import type { LiveLine, LiveLines } from './live-lines.ts'

/** A live display at the foot of a terminal, and lines above it. */
export class TerminalOutput implements Output {
  readonly #program: string
  readonly #stream: NodeJS.WriteStream
  readonly #writer: LineWriter
  readonly #isUnicode: boolean
  #display: LiveLines | undefined
  #isLoading = false
  #latest: ProgressUpdate | undefined
  #isClosed = false

  constructor(program: string, stream: NodeJS.WriteStream, isUnicode: boolean) {
    this.#program = program
    this.#stream = stream
    this.#writer = new LineWriter(stream)
    this.#isUnicode = isUnicode
  }

  progress(update: ProgressUpdate): void {
    this.#latest = update
    if (this.#isLoading) this.#display?.show(linesOf(update))
    else void this.#load()
  }

  log(line: string): void {
    const text = printable(line)
    if (this.#display === undefined) this.#writer.write(text)
    else this.#display.log(text)
  }

  note(line: string): void {
    this.log(line)
  }

  result({ summary }: Outcome): void {
    this.#endDisplay()
    for (const line of summary) this.#writer.write(printable(line))
  }

  fail(failure: Failure, outcome?: Outcome): void {
    this.#endDisplay()
    if (outcome !== undefined) this.result(outcome)
    this.#writer.write(failureText(this.#program, failure))
  }

  close(): Promise<void> {
    this.#endDisplay()
    return this.#writer.flush()
  }

  /** The display is loaded when it is first needed: the transfer must not wait for it. */
  async #load(): Promise<void> {
    this.#isLoading = true
    const { LiveLines } = await import('./live-lines.ts')
    if (this.#isClosed) return
    this.#display = new LiveLines(this.#stream, this.#isUnicode)
    if (this.#latest !== undefined) this.#display.show(linesOf(this.#latest))
  }

  #endDisplay(): void {
    this.#isClosed = true
    this.#display?.stop()
    this.#display = undefined
  }
}

/** Puts lines without a bar under the bars of others. */
const INDENT = ' '.repeat(4)

function linesOf({ percent, facts, phase, details, live }: ProgressUpdate): readonly LiveLine[] {
  if (live !== undefined) return live
  const [first, second] = percent === undefined ? [[phase, ...facts], details] : [facts, [phase, ...details]]
  return [
    { label: percent === undefined ? INDENT : '', percent, facts: first },
    { label: INDENT, percent: undefined, facts: second },
  ]
}
