import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { COMMAND_ENVIRONMENT } from './command.ts'

/** The program `skilfish`, as it was built. */
export const SKILFISH: string = join(import.meta.dirname, '../../dist/cli/skilfish.js')

/** What a run of `skilfish` came to. */
export interface CommandRun {
  readonly status: number
  /** What its line of type `result` holds; of an error, what was reached all the same. */
  readonly results: readonly Readonly<Record<string, unknown>>[]
  /** Of its line of type `error`. */
  readonly message: string
  readonly code: string
  readonly output: string
}

/** A `skilfish` under way. */
export interface StartedCommand {
  readonly process: ChildProcess
  /** Waits until it has said a text on standard output. */
  readonly said: (text: string) => Promise<void>
  /** When it has ended. */
  readonly result: Promise<CommandRun>
}

/** Starts `skilfish COMMAND --json …`. */
export function startCommand(command: string, args: readonly string[]): StartedCommand {
  const child = spawn(process.execPath, [SKILFISH, command, '--json', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: COMMAND_ENVIRONMENT,
  })
  let output = ''
  let errors = ''
  const lookers = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    for (const look of lookers) look()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  const result = once(child, 'close').then(() => parseRun(child.exitCode ?? 255, output, errors))
  const said = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (output.includes(text)) resolve()
      }
      lookers.add(look)
      look()
      void result.then(() => reject(new Error(`skilfish ${command} ended and never said ${text}\n${output}${errors}`)))
    })
  return { process: child, said, result }
}

function parseRun(status: number, output: string, errors: string): CommandRun {
  const lines = output.split('\n').filter((line) => line.startsWith('{'))
  const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  const error = parsed.find(({ type }) => type === 'error')
  const result =
    parsed.find(({ type }) => type === 'result') ?? (error?.['result'] as Record<string, unknown> | undefined)
  const results = Array.isArray(result?.['results']) ? (result['results'] as CommandRun['results']) : []
  const text = (name: string): string => (typeof error?.[name] === 'string' ? error[name] : '')
  return { status, results, message: text('message'), code: text('code'), output: `${output}${errors}` }
}
