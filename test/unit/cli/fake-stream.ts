import { Writable } from 'node:stream'

/** A stream that remembers what was written; `isStuck`: nobody reads. */
export class FakeStream extends Writable {
  text = ''
  isStuck = false
  readonly isTTY: boolean
  readonly columns: number

  constructor(isTTY = false, columns = 80) {
    super({ decodeStrings: false })
    this.isTTY = isTTY
    this.columns = columns
  }

  override _write(chunk: string, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.text += chunk
    if (!this.isStuck) callback()
  }

  get lines(): string[] {
    return this.text.split('\n').slice(0, -1)
  }

  /** What a program's output takes in its place. */
  get asTerminal(): NodeJS.WriteStream {
    return this as unknown as NodeJS.WriteStream
  }
}
