import { spawn, type ChildProcess } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'

/** How much of what a program said on standard error is kept: its end, characters. */
const SAID_LENGTH = 4096

/** Lines of it that a message quotes. */
const SAID_LINES = 3

/** What a program may print when all of it is wanted at once, or the length of a line when lines are, bytes. */
const OUTPUT_LENGTH = 4 * 1024 * 1024

/** How a program ended. */
export type ProgramEnd =
  | { readonly kind: 'exited'; readonly status: number }
  | { readonly kind: 'killed'; readonly signal: string }
  /** It could not be started; `cause` is the kernel's error. */
  | { readonly kind: 'not-started'; readonly cause: Error }
  /** It was ended by us: it took too long, or said too much. */
  | { readonly kind: 'stopped'; readonly reason: string }

/**
 * A program under way, started without a shell. It has a process group of its own, so that what is typed on the terminal (Ctrl-C)
 * reaches only this process, which ends the program in an orderly way. When this process dies, its pipes close.
 */
export class Program {
  /** What to write to it. Errors of it tell less than {@link ended}. */
  readonly stdin: Writable
  readonly stdout: Readable
  /** Resolves when it has ended and all that it said has come; never rejects. */
  readonly ended: Promise<ProgramEnd>
  readonly #child: ChildProcess
  #said = ''

  constructor(command: string, args: readonly string[]) {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
    this.#child = child
    this.stdin = child.stdin
    this.stdout = child.stdout
    child.stdin.on('error', () => undefined)
    child.stdout.on('error', () => undefined)
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-SAID_LENGTH)
    })
    this.ended = new Promise((resolve) => {
      child.once('error', (cause) => resolve({ kind: 'not-started', cause }))
      child.once('close', (status, signal) => {
        if (status !== null) resolve({ kind: 'exited', status })
        else resolve({ kind: 'killed', signal: signal ?? 'a signal' })
      })
    })
  }

  /** The last lines that it said on standard error, as a part of a message; empty when it said nothing. */
  get said(): string {
    const lines = this.#said.split(/[\r\n]+/).map((line) => line.replace(/\p{Cc}/gu, '?').trim())
    return lines
      .filter((line) => line !== '')
      .slice(-SAID_LINES)
      .join('; ')
      .replace(/\.$/, '')
  }

  /** Writes to its standard input. @returns when the bytes are the caller's again; rejects when it reads no more */
  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.stdin.write(bytes, (error) => {
        if (error) reject(error)
        else resolve()
      })
    })
  }

  /**
   * Ends it: closes its pipes, and kills it when it is still there after `graceMs`.
   * @returns when it is gone
   */
  async stop(graceMs: number): Promise<void> {
    this.stdin.end()
    this.stdout.destroy()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), graceMs)
    await this.ended
    clearTimeout(timer)
  }
}

/** What a program that ran to its end has said. */
export interface ProgramRun {
  readonly end: ProgramEnd
  /** Where lines were wanted: what came behind the last of them. */
  readonly stdout: string
  readonly said: string
}

/**
 * Runs a program to its end, without input. One that takes longer than `timeoutMs` or prints more than 4 Mi characters is killed.
 * @param onLine gets each line that it prints instead, so that there may be any number of them, each of up to 4 Mi characters
 * @throws what `onLine` throws; the program is killed then
 */
export async function runProgram(
  command: string,
  args: readonly string[],
  timeoutMs: number,
  onLine?: (line: string) => void,
): Promise<ProgramRun> {
  const program = new Program(command, args)
  program.stdin.end()
  let stdout = ''
  let failure: { readonly error: unknown } | undefined
  let reason: string | undefined
  const stop = (why: string): void => {
    reason ??= why
    void program.stop(0)
  }
  const timer = setTimeout(() => stop(`did not end within ${timeoutMs / 1000} s`), timeoutMs)
  program.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    try {
      if (onLine !== undefined) stdout = eachLine(stdout, onLine)
    } catch (error) {
      failure ??= { error }
      stop('printed what was not expected')
    }
    if (stdout.length > OUTPUT_LENGTH) {
      stop(`printed ${onLine === undefined ? '' : 'a line of '}more than ${OUTPUT_LENGTH} characters`)
    }
  })
  const end = await program.ended
  clearTimeout(timer)
  if (failure !== undefined) throw failure.error
  return { end: reason === undefined ? end : { kind: 'stopped', reason }, stdout, said: program.said }
}

/** Hands out the lines of a text. @returns what is behind the last of them */
function eachLine(text: string, onLine: (line: string) => void): string {
  const lines = text.split('\n')
  const rest = lines.pop()!
  for (const line of lines) onLine(line)
  return rest
}
