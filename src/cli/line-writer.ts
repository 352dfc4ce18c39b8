import type { Writable } from 'node:stream'

/** Lines to standard output or error. A reader that has gone is not our concern: what it would have read is dropped. */
export class LineWriter {
  readonly #stream: Writable
  #isGone = false

  constructor(stream: Writable) {
    this.#stream = stream
    stream.on('error', () => (this.#isGone = true))
  }

  write(line: string): void {
    if (!this.#isGone) this.#stream.write(`${line}\n`)
  }

  /** Drops the line when the reader lags: progress must not pile up in memory behind a reader that is stopped. */
  offer(line: string): void {
    if (this.#stream.writableLength === 0) this.write(line)
  }

  /** Resolves when all that was written has been passed on, or nobody is there to read it. */
  async flush(): Promise<void> {
    if (this.#isGone) return
    await new Promise<void>((resolve) => {
      this.#stream.once('error', () => resolve())
      this.#stream.write('', () => resolve())
    })
  }
}

/**
 * Text for a terminal: names come from other hosts, and none of them shall move the cursor. Line feeds and tabs stay.
 */
export const printable = (text: string): string => text.replace(/(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, '?')
