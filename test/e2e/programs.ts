import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach } from 'vitest'

/** The built library and programs: `npm run build` makes them. */
export const DIST: string = join(import.meta.dirname, '../../dist')

let groupCount = 0

/** Ports of a process of tests: process ids alone may agree where they are cut short. Of those at work at once each has its number. */
const FIRST_PORT = 21_000 + 100 * Number(process.env['VITEST_POOL_ID'] ?? 0)

/** Options that keep a session on this machine, and apart from every other of this run. */
export function loopback(): string[] {
  groupCount++
  return ['--interface', '127.0.0.1', '--group', `239.192.84.${1 + (process.pid % 250)}:${FIRST_PORT + groupCount}`]
}

/** How a program ended. */
export interface Ended {
  /** Undefined when a signal ended it. */
  readonly status: number | undefined
  readonly stdout: Buffer
  readonly stderr: string
}

/** What a program said with `--json`: the objects of one type. */
export function messages(stdout: Buffer | string, type: string): Record<string, unknown>[] {
  const lines = stdout
    .toString()
    .split('\n')
    .filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((message) => message['type'] === type)
}

const running = new Set<ChildProcess>()

/** A program that takes longer is stuck and killed, milliseconds. */
const TIME_LIMIT_MS = 60_000

/** Starts one of the programs in `dist`. Whatever it leaves running is killed after the test. */
export const start = (
  name: 'send' | 'recv' | 'keygen' | 'probe' | 'demo' | 'skilfish',
  args: readonly string[],
  options: SpawnOptions = {},
): Program => new Program(process.execPath, [join(DIST, `cli/${name}.js`), ...args], options)

/** A process, and all that it says. */
export class Program {
  readonly process: ChildProcess
  readonly ended: Promise<Ended>
  readonly #stdout: Buffer[] = []
  #stderr = ''

  constructor(command: string, args: readonly string[], options: SpawnOptions = {}) {
    this.process = spawn(command, args, { timeout: TIME_LIMIT_MS, killSignal: 'SIGKILL', ...options })
    running.add(this.process)
    this.process.stdout?.on('data', (bytes: Buffer) => this.#stdout.push(bytes))
    this.process.stderr?.on('data', (bytes: Buffer) => (this.#stderr += bytes.toString()))
    this.ended = new Promise((resolve, reject) => {
      this.process.once('error', reject)
      this.process.once('close', (status) => {
        running.delete(this.process)
        resolve({ status: status ?? undefined, stdout: Buffer.concat(this.#stdout), stderr: this.#stderr })
      })
    })
  }

  /**
   * Resolves when it listens for signals: a program that waits for its standard input says nothing. Linux only.
   * @param last that it listens for, of those that Node.js itself does not catch
   */
  async catchesSignals(last: 'SIGHUP' | 'SIGUSR2' = 'SIGHUP'): Promise<void> {
    const bit = 1 << (constants.signals[last] - 1)
    const isCaught = (): boolean => {
      const status = readFileSync(`/proc/${this.process.pid}/status`, 'utf8')
      return (Number.parseInt(/^SigCgt:\t(\w+)$/m.exec(status)?.[1]?.slice(-8) ?? '0', 16) & bit) !== 0
    }
    while (!isCaught()) await new Promise((resolve) => setTimeout(resolve, 20))
  }

  /** Resolves when standard output and error together hold `text`, or match it. */
  async says(text: string | RegExp): Promise<void> {
    const isSaid = (): boolean => {
      const said = `${Buffer.concat(this.#stdout).toString()}${this.#stderr}`
      return typeof text === 'string' ? said.includes(text) : text.test(said)
    }
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (isSaid()) resolve()
      }
      this.process.stdout?.on('data', look)
      this.process.stderr?.on('data', look)
      this.process.once('close', () => {
        if (isSaid()) resolve()
        else reject(new Error(`the program ended without saying ${String(text)}: ${this.#stderr}`))
      })
      look()
    })
  }
}

/** Gives each test of the file a fresh folder that every user may enter; returns a function that joins names to its path. */
export function useFolder(): (...names: readonly string[]) => string {
  let folder = ''
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'skilfish-e2e-'))
  })
  afterEach(() => {
    for (const child of running) child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  return (...names) => join(folder, ...names)
}
