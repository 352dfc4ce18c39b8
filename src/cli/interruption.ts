import { EXIT_STATUS } from '../errors.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** What Ctrl-C and its kin do: the first ends the transfer at both ends, the second ends this program at once. */
export class Interruption {
  readonly #controller = new AbortController()
  readonly #onFirst: () => void

  /** Listens from now on. `onFirst` is called once, before the transfer is told. */
  constructor(onFirst: () => void) {
    this.#onFirst = onFirst
    for (const signal of SIGNALS) process.on(signal, () => this.trigger())
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  trigger(): void {
    if (this.signal.aborted) process.exit(EXIT_STATUS.interrupted)
    this.#onFirst()
    this.#controller.abort()
  }
}
