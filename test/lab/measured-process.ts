import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** What one run of a command cost. */
export interface ProcessFigures {
  /** Exit status; 128 and the signal's number when a signal ended it, as a shell has it. */
  readonly status: number
  /** From the start of the process until it has ended, in ms; includes about 10 ms of the shell that measures. */
  readonly elapsedMs: number
  /** When it had ended, on the clock of `performance.now()`. */
  readonly endedAtMs: number
  /** Processor time of the command and of those of its children that it waited for. */
  readonly userSeconds: number
  readonly systemSeconds: number
  /**
   * Most resident memory of the command without its children, in bytes, shared libraries included, as it was up to 50 ms before the
   * end; 0 for a command that lasts no longer than that.
   */
  readonly peakMemoryBytes: number
  /** The last of what it wrote to standard output and standard error, at most 64 KiB. */
  readonly output: string
}

export interface MeasuredProcess {
  /** Settles when the command has ended, whatever its status. */
  readonly figures: Promise<ProcessFigures>
  /** Signals the command; does nothing once it has ended. */
  readonly kill: (signal: NodeJS.Signals) => void
}

export type Spawn = (command: string, args: readonly string[], options: SpawnOptions) => ChildProcess

/** Tells the command's process id, then, when it has ended, the processor time of the shell and of its children, in two lines. */
const SHELL_SCRIPT = '(echo $BASHPID >&3; exec "$@" 3>&-); status=$?; times >&3; exit $status'

const SAMPLE_MS = 50
const OUTPUT_BYTES = 64 * 1024

/**
 * Starts a command and measures what it costs. Bash reports the processor time, as Node.js does not tell that of children and
 * every Debian has bash.
 */
export function startMeasured(spawn: Spawn, command: string, args: readonly string[]): MeasuredProcess {
  const startedAtMs = performance.now()
  const shell = spawn('bash', ['-c', SHELL_SCRIPT, 'measured', command, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  let report = ''
  let output = ''
  let peakMemoryBytes = 0
  let endedAtMs = 0
  let pendingSignal: NodeJS.Signals | undefined
  const pid = (): number | undefined => (report.includes('\n') ? Number.parseInt(report, 10) : undefined)
  const keep = (text: string): void => void (output = (output + text).slice(-OUTPUT_BYTES))
  const [, stdout, stderr, reports] = shell.stdio
  for (const stream of [stdout, stderr]) (stream as NodeJS.ReadableStream).setEncoding('utf8').on('data', keep)
  ;(reports as NodeJS.ReadableStream).setEncoding('utf8').on('data', (text: string) => {
    report += text
    if (pendingSignal) kill(pendingSignal)
  })
  const sampling = setInterval(() => {
    const id = pid()
    if (id !== undefined) peakMemoryBytes = Math.max(peakMemoryBytes, residentPeakBytes(id))
  }, SAMPLE_MS)

  const figures = new Promise<ProcessFigures>((resolve, reject) => {
    shell.once('error', reject)
    shell.once('exit', () => {
      endedAtMs = performance.now()
      clearInterval(sampling)
    })
    shell.once('close', (code: number | null, signal: NodeJS.Signals | null) => {
      const times = [...report.matchAll(/^(\S+)m(\S+)s (\S+)m(\S+)s$/gm)].map((match) => match.slice(1).map(Number))
      const [userMinutes, userSeconds, systemMinutes, systemSeconds] = times[1] ?? []
      if (code === null || userMinutes === undefined) {
        reject(new Error(`The measurement of ${command} was ended by ${signal ?? 'something'}\n${output}`))
        return
      }
      resolve({
        status: code,
        elapsedMs: endedAtMs - startedAtMs,
        endedAtMs,
        userSeconds: userMinutes * 60 + userSeconds!,
        systemSeconds: systemMinutes! * 60 + systemSeconds!,
        peakMemoryBytes,
        output,
      })
    })
  })
  function kill(signal: NodeJS.Signals): void {
    const id = pid()
    pendingSignal = id === undefined ? signal : undefined
    // Once the shell has reported times, the id may be another process's.
    const hasEnded = report.trimEnd().includes('\n')
    if (id !== undefined && !hasEnded) tryKill(id, signal)
  }
  return { figures, kill }
}

/** The kernel's own high-water mark, so no peak between samples is missed; 0 when the process has ended. Source: proc(5). */
function residentPeakBytes(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

function tryKill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has just ended by itself.
  }
}
