import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connectUnixSocket } from '../../src/io/unix-socket.ts'

/** What the guest did with its disk in some time. */
interface GuestFigures {
  readonly elapsedMs: number
  readonly reads: number
  readonly writes: number
  readonly flushes: number
  /** The longest request of each kind, microseconds; 0 when there was none. */
  readonly worstReadUs: number
  readonly worstWriteUs: number
  readonly worstFlushUs: number
}

/**
 * One second of the guest's life. A request that is still under way counts among the longest, with what it has taken so far.
 * Time in which QEMU holds the guest does not pass for the guest.
 */
export interface GuestReport extends GuestFigures {
  /** Blocks that were not what they must be, since the guest started. */
  readonly bad: number
  /** Requests that failed, since the guest started. */
  readonly errors: number
}

/** What came of one command, with its own figures. */
export interface GuestResult extends GuestFigures {
  readonly command: string
  readonly bad: number
  readonly errors: number
  /**
   * After `verify`: over numbers and generations of all good blocks, 16 hexadecimal digits. Equal digests of two verified disks mean
   * equal disks.
   */
  readonly digest: string
}

export interface GuestRun {
  /** 0, which is the default: until {@link GuestConsole.stop}. */
  readonly seconds?: number
  /** How many requests are under way at once, 1 to 16; default 2. */
  readonly threadCount?: number
  /** Default 15. */
  readonly writePercent?: number
  /** Of all threads together; 0, which is the default: as many as it can. */
  readonly opsPerSec?: number
}

/** What the guest says, a line of JSON each. */
interface GuestLine {
  readonly ready?: { readonly sizeBytes: number }
  readonly report?: GuestReport
  readonly done?: GuestResult
  readonly refused?: string
  readonly reason?: string
  readonly poweroff?: string
}

interface Pending {
  readonly command: string
  readonly settle: (result: GuestResult | Error) => void
}

/** How often a guest that may still boot is spoken to, milliseconds. */
const HELLO_MS = 500

/** Of reports: an hour. Of other lines. */
const MAX_REPORT_COUNT = 3600
const MAX_LINE_COUNT = 1000

const ANSWER_TIMEOUT_MS = 120_000

/**
 * The serial console of a test guest, of which QEMU has made a Unix socket (`-serial unix:PATH,server=on,wait=off`). Close it in a
 * `finally`; the guest goes on, and another console may follow.
 */
export class GuestConsole {
  readonly sizeBytes: number
  /** Those since this console was connected, one a second, the latest 3600. */
  readonly reports: readonly GuestReport[]
  /** Everything else that came: results, bad blocks, failed requests, what the kernel says; the latest 1000 lines. */
  readonly lines: readonly string[]
  /** Resolves when the connection is over: QEMU has ended, or {@link close} was called. */
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #pending: Pending[] = []
  #isClosed = false
  readonly #waiting = new Set<{ readonly take: (report: GuestReport) => void; readonly fail: (error: Error) => void }>()

  private constructor(socket: Socket, transcript: Transcript, sizeBytes: number) {
    this.#socket = socket
    this.sizeBytes = sizeBytes
    this.reports = transcript.reports
    this.lines = transcript.lines
    this.closed = transcript.closed
    transcript.listen((line) => this.#take(line))
    void this.closed.then(() => this.#end())
  }

  /**
   * Waits for the socket, then for the guest.
   * @param patienceMs for both together
   * @throws Error with what the console has said when the guest does not answer in time
   */
  static async connect(
    path: string,
    { patienceMs = 60_000 }: { readonly patienceMs?: number } = {},
  ): Promise<GuestConsole> {
    const startedAtMs = performance.now()
    const socket = await connectUnixSocket(path, patienceMs)
    const transcript = new Transcript(socket)
    const ready = new Promise<number>((resolve) => {
      transcript.listen((line) => line.ready && resolve(line.ready.sizeBytes))
    })
    // What is said before somebody listens is lost, at either end.
    const hello = setInterval(() => socket.write('hello\n'), HELLO_MS)
    const late = new AbortController()
    const leftMs = Math.max(0, startedAtMs + patienceMs - performance.now())
    try {
      const timeout = delay(leftMs, undefined, { signal: late.signal }).catch(() => undefined)
      const sizeBytes = await Promise.race([ready, transcript.closed, timeout])
      if (sizeBytes === undefined)
        throw new Error(`The guest at ${path} does not answer\n${transcript.lines.join('\n')}`)
      return new GuestConsole(socket, transcript, sizeBytes)
    } catch (error) {
      socket.destroy()
      throw error
    } finally {
      clearInterval(hello)
      late.abort()
    }
  }

  /** Random requests, each checked. @returns the result when it ends */
  run({ seconds = 0, threadCount = 2, writePercent = 15, opsPerSec = 0 }: GuestRun = {}): Promise<GuestResult> {
    const timeoutMs = seconds === 0 ? 0 : seconds * 1000 + ANSWER_TIMEOUT_MS
    return this.#command(`run ${seconds} ${threadCount} ${writePercent} ${opsPerSec}`, timeoutMs)
  }

  /** Ends the run that is under way: its result comes where it was started. */
  stop(): void {
    this.#socket.write('stop\n')
  }

  /** Reads the whole disk. */
  verify(): Promise<GuestResult> {
    return this.#command('verify')
  }

  /**
   * Writes blocks of 4 KiB and flushes.
   * @param tag their generation, 1 to 2^32 - 1
   */
  write(fromBlock: number, blockCount: number, tag: number): Promise<GuestResult> {
    return this.#command(`write ${fromBlock} ${blockCount} ${tag}`)
  }

  /** Reads blocks that must be of generation `tag`; what is not counts as `bad`. */
  check(fromBlock: number, blockCount: number, tag: number): Promise<GuestResult> {
    return this.#command(`check ${fromBlock} ${blockCount} ${tag}`)
  }

  /** Asks the guest to power off: it ends what it does, flushes, and {@link closed} resolves when QEMU has ended. */
  powerOff(): void {
    this.#socket.write('poweroff\n')
  }

  /**
   * The next report that fits.
   * @throws Error when none comes in time (the guest is held, or dead), or the console is closed
   */
  nextReport(fits: (report: GuestReport) => boolean = () => true, timeoutMs = 30_000): Promise<GuestReport> {
    return new Promise((resolve, reject) => {
      const waiting = {
        take: (report: GuestReport): void => {
          if (fits(report)) end(() => resolve(report))
        },
        fail: (error: Error): void => end(() => reject(error)),
      }
      const end = (settle: () => void): void => {
        clearTimeout(timer)
        this.#waiting.delete(waiting)
        settle()
      }
      const timer = setTimeout(() => waiting.fail(this.#error(`no such report came for ${timeoutMs} ms`)), timeoutMs)
      this.#waiting.add(waiting)
      if (this.#isClosed) this.#end()
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  /** @param timeoutMs 0: it waits as long as it takes */
  #command(command: string, timeoutMs = ANSWER_TIMEOUT_MS): Promise<GuestResult> {
    return new Promise((resolve, reject) => {
      const settle = (result: GuestResult | Error): void => {
        clearTimeout(timer)
        this.#pending.splice(this.#pending.indexOf(pending), 1)
        if (result instanceof Error) reject(result)
        else resolve(result)
      }
      const pending = { command, settle }
      const late = (): void => settle(this.#error(`"${command}" has not been done for ${timeoutMs} ms`))
      const timer = timeoutMs === 0 ? undefined : setTimeout(late, timeoutMs)
      this.#pending.push(pending)
      if (this.#isClosed) this.#end()
      else this.#socket.write(`${command}\n`)
    })
  }

  #take({ report, done, refused, reason }: GuestLine): void {
    if (report) for (const { take } of [...this.#waiting]) take(report)
    // Those of the kernel's command line are nobody's.
    const command = done?.command ?? refused
    const pending = this.#pending.find((one) => one.command === command)
    pending?.settle(done ?? this.#error(`"${command ?? ''}" was refused: ${reason ?? ''}`))
  }

  #end(): void {
    this.#isClosed = true
    const error = this.#error('its console is closed')
    for (const { settle } of [...this.#pending]) settle(error)
    for (const { fail } of [...this.#waiting]) fail(error)
  }

  #error(what: string): Error {
    const reports = this.reports.slice(-5).map((report) => JSON.stringify(report))
    return new Error(`The guest: ${what}\n${[...this.lines.slice(-20), ...reports].join('\n')}`)
  }
}

/** The result in what the verifier prints. */
export function parseGuestResult(output: string): GuestResult {
  const result = output.split('\n').flatMap((line) => parseLine(line)?.done ?? [])[0]
  if (result === undefined) throw new Error(`There is no result in ${output}`)
  return result
}

/** What comes of a console, cut into lines. */
class Transcript {
  readonly reports: GuestReport[] = []
  readonly lines: string[] = []
  readonly closed: Promise<void>
  readonly #listeners: ((line: GuestLine) => void)[] = []
  #rest = ''

  constructor(socket: Socket) {
    socket.setEncoding('utf8')
    socket.on('data', (text) => this.#push(String(text)))
    // What broke it is of no interest: it is closed.
    socket.on('error', () => undefined)
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
  }

  listen(listener: (line: GuestLine) => void): void {
    this.#listeners.push(listener)
  }

  #push(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop()!
    for (const line of lines) {
      const said = parseLine(line)
      if (said?.report) keep(this.reports, said.report, MAX_REPORT_COUNT)
      else keep(this.lines, line.trimEnd(), MAX_LINE_COUNT)
      if (said) for (const listener of this.#listeners) listener(said)
    }
  }
}

function keep<Item>(list: Item[], item: Item, most: number): void {
  list.push(item)
  if (list.length > most) list.shift()
}

function parseLine(line: string): GuestLine | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line) as GuestLine
  } catch {
    // The kernel spoke in between.
    return undefined
  }
}
