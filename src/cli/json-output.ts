import type { Failure } from './failure.ts'
import type { LineWriter } from './line-writer.ts'
import type { Outcome, Output, ProgressUpdate } from './output.ts'

/** One JSON object a line, told apart by `type`: `progress`, `log`, `result`, `error`. */
export class JsonOutput implements Output {
  readonly #writer: LineWriter
  readonly #isQuiet: boolean

  /** Quiet: without progress and log. */
  constructor(writer: LineWriter, isQuiet: boolean) {
    this.#writer = writer
    this.#isQuiet = isQuiet
  }

  progress({ raw }: ProgressUpdate): void {
    if (!this.#isQuiet) this.#writer.offer(JSON.stringify({ type: 'progress', ...raw }))
  }

  log(line: string): void {
    if (!this.#isQuiet) this.#writer.write(JSON.stringify({ type: 'log', line }))
  }

  note(line: string): void {
    this.log(line)
  }

  result({ raw }: Outcome): void {
    this.#writer.write(JSON.stringify({ type: 'result', ...raw }))
  }

  fail(failure: Failure, outcome?: Outcome): void {
    this.#writer.write(JSON.stringify({ type: 'error', ...failure, result: outcome?.raw }))
  }

  close(): Promise<void> {
    return this.#writer.flush()
  }
}
