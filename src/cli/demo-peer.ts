import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { ERROR_TABLE, SkilfishError, type ErrorCode } from '../errors.ts'
import type { Failure } from './failure.ts'
import type { LiveLine } from './live-lines.ts'

/** What a program says with `--json` when its progress and result are these. */
type Message<Progress, Result> =
  | ({ readonly type: 'progress' } & Progress)
  | ({ readonly type: 'result' } & Result)
  | ({ readonly type: 'error' } & Failure)
  | { readonly type: 'log'; readonly line: string }

/** How far a peer is, for people. */
export type PeerState = Pick<LiveLine, 'percent' | 'facts'>

export interface DemoPeerOptions<Progress> {
  readonly label: string
  /** The program, beside this file. */
  readonly program: 'send' | 'recv'
  readonly args: readonly string[]
  /** Variables beside those of this process. */
  readonly environment: Readonly<Record<string, string>>
  readonly describe: (progress: Progress) => PeerState
}

/** One of the demo's processes: a real program, which tells by JSON how it fares. */
export class DemoPeer<Progress, Result> {
  /** Resolves with its result; rejects when it fails or ends without one. */
  readonly finished: Promise<Result>
  readonly #options: DemoPeerOptions<Progress>
  readonly #process: ChildProcess
  #progress: Progress | undefined

  constructor(options: DemoPeerOptions<Progress>) {
    this.#options = options
    const script = fileURLToPath(new URL(`./${options.program}.js`, import.meta.url))
    this.#process = spawn(process.execPath, [script, '--json', ...options.args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...options.environment },
    })
    this.finished = this.#follow()
    // Several peers fail together; whoever awaits the first has not lost the others by mistake.
    this.finished.catch(() => undefined)
  }

  get state(): LiveLine {
    const { label, describe } = this.#options
    return { label, ...(this.#progress === undefined ? { percent: 0, facts: [] } : describe(this.#progress)) }
  }

  /** Asks it to end; no harm when it has. */
  stop(): void {
    this.#process.kill('SIGTERM')
  }

  async #follow(): Promise<Result> {
    let result: Result | undefined
    let failure: Failure | undefined
    const ended = new Promise<void>((resolve, reject) => {
      this.#process.once('error', reject)
      this.#process.once('close', () => resolve())
    })
    for await (const line of createInterface({ input: this.#process.stdout! })) {
      const message = JSON.parse(line) as Message<Progress, Result>
      if (message.type === 'progress') this.#progress = message
      else if (message.type === 'result') result = message
      else if (message.type === 'error') failure = message
    }
    await ended
    const { label } = this.#options
    if (failure !== undefined) throw failureOf(label, failure)
    if (result === undefined) throw new Error(`${label} ended without a word`)
    return result
  }
}

function failureOf(label: string, { code, message }: Failure): Error {
  const text = `${label.trim()}: ${message}`
  return Object.hasOwn(ERROR_TABLE, code) ? new SkilfishError(code as ErrorCode, text) : new Error(text)
}
