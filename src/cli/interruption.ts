import { EXIT_STATUS } from '../errors.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** What Ctrl-C and its kin do: the first ends the transfer at both ends, the second ends this program at once. */
export class Interruption {
  readonly #controller = new AbortController()
  readonly #handlers: { readonly onFirst: () => void; readonly onSecond: () => void }

  /** Listens from now on. `onFirst` is called before the transfer is told, `onSecond` before the process ends. */
  constructor(handlers: { readonly onFirst: () => void; readonly onSecond: () => void }) {
    this.#handlers = handlers
    for (const signal of SIGNALS) process.on(signal, () => this.trigger())
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  trigger(): void {
    if (this.signal.aborted) {
      this.#handlers.onSecond()
      process.exit(EXIT_STATUS.interrupted)
    }
    this.#handlers.onFirst()
    this.#controller.abort()
  }
}
