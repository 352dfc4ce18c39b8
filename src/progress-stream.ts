/** Hands the latest value to any number of async iterators; a slow one misses values, never delays the others. */
export class ProgressStream<Value> {
  #latest: Value | undefined
  #version = 0
  #isEnded = false
  #waiting: (() => void)[] = []

  push(value: Value): void {
    this.#latest = value
    this.#version++
    this.#wake()
  }

  end(): void {
    this.#isEnded = true
    this.#wake()
  }

  async *values(): AsyncGenerator<Value, void, undefined> {
    let seen = 0
    for (;;) {
      if (this.#version > seen && this.#latest !== undefined) {
        seen = this.#version
        yield this.#latest
      } else if (this.#isEnded) {
        return
      } else {
        await new Promise<void>((resolve) => this.#waiting.push(resolve))
      }
    }
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}
