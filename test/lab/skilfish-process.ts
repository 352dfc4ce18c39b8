import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ReceiveResult, SendResult, VerifyResult } from '../../src/index.ts'
import { COMMAND_ENVIRONMENT } from './command.ts'
import type { Lab } from './lab.ts'

const dist = join(import.meta.dirname, '../../dist/cli')

/** How one of the commands ended. */
export interface Ended<Result> {
  readonly status: number | null
  /** From its start to its exit, milliseconds. */
  readonly elapsedMs: number
  readonly stderr: string
  /** The line of type `result`, or that within the line of type `error`. */
  readonly result: Result | undefined
  /** The code of the line of type `error`. */
  readonly errorCode: string | undefined
}

/** One of the commands, running in the lab with `--json`. */
export class Running<Result> {
  readonly child: ChildProcess
  readonly ended: Promise<Ended<Result>>
  readonly #lines: string[] = []
  #stderr = ''
  #rest = ''
  #wake: () => void = () => undefined

  constructor(child: ChildProcess) {
    this.child = child
    const beganMs = performance.now()
    child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#take(text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    this.ended = once(child, 'close').then(([status]) => {
      this.#wake()
      const last = this.#parsed().findLast(({ type }) => type === 'result' || type === 'error')
      const isError = last?.type === 'error'
      return {
        status: status as number | null,
        elapsedMs: performance.now() - beganMs,
        stderr: this.#stderr,
        result: (isError ? last['result'] : last) as Result | undefined,
        errorCode: isError ? (last['code'] as string) : undefined,
      }
    })
  }

  /** Waits until a line of output satisfies `holds`. Fails when the command ends before. */
  async until(holds: (line: Readonly<Record<string, unknown>>) => boolean): Promise<void> {
    while (!this.#parsed().some(holds)) {
      if (this.child.exitCode !== null) throw new Error(`ended early with ${this.child.exitCode}: ${this.#stderr}`)
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  /** How many lines of output satisfy `holds` by now. */
  count(holds: (line: Readonly<Record<string, unknown>>) => boolean): number {
    return this.#parsed().filter(holds).length
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    this.#lines.push(...lines)
    this.#wake()
  }

  #parsed(): (Record<string, unknown> & { type: string })[] {
    return this.#lines.map((line) => JSON.parse(line) as Record<string, unknown> & { type: string })
  }
}

/** Variables of a command's environment, beside those of this process. */
type Environment = Readonly<Record<string, string>>

const start = (
  lab: Lab,
  host: number,
  name: string,
  args: readonly string[],
  environment: Environment,
): ChildProcess => {
  const script = join(dist, name)
  if (!existsSync(script)) throw new Error(`${script} is not there: run "npm run build" first`)
  return lab.spawn(host, process.execPath, [script, '--json', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...COMMAND_ENVIRONMENT, ...environment },
  })
}

const NETWORK = ['--interface', 'eth0'] as const

/** Starts `skilfish-send` on the sender's host. */
export const startSender = (lab: Lab, args: readonly string[], environment: Environment = {}): Running<SendResult> =>
  new Running(start(lab, 0, 'send.js', [...NETWORK, ...args], environment))

/** Starts `skilfish-recv` on a receiver's host, 1 and up. */
export const startReceiver = (
  lab: Lab,
  host: number,
  args: readonly string[],
  environment: Environment = {},
): Running<ReceiveResult> => new Running(start(lab, host, 'recv.js', [...NETWORK, ...args], environment))

/** Starts `skilfish-recv --verify` on the first receiver's host. */
export const startVerification = (lab: Lab, args: readonly string[]): Running<VerifyResult> =>
  new Running(start(lab, 1, 'recv.js', ['--verify', ...args], {}))

/** Starts `skilfish-probe` on a host, 0 for the sender's. */
export const startProbe = <Result>(lab: Lab, host: number, args: readonly string[]): Running<Result> =>
  new Running(start(lab, host, 'probe.js', [...NETWORK, ...args], {}))
