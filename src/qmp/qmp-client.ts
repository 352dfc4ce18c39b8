import { randomInt } from 'node:crypto'
import type { Socket } from 'node:net'
import { SkilfishError } from '../errors.ts'
import { connectUnixSocket, systemReason } from '../io/index.ts'
import { encodeQmpCommand, QmpReader, type QmpEvent, type QmpGreeting, type QmpMessage } from './qmp-codec.ts'

/**
 * How many commands may be unanswered at once, not counting those out of band. QEMU 7.2 stops to read at eight, and then hears no
 * command out of band either.
 */
const MAX_PENDING_COUNT = 7

/** The same for commands out of band: there is no reason for many. */
const MAX_OUT_OF_BAND_COUNT = 16

/**
 * A client begins to count its commands at a multiple of this. QEMU sends the reply to a command of a client that has gone to the client
 * that is there (seen with QEMU 7.2 whose main loop hung): the ids tell whose it is.
 */
const IDS_OF_A_CLIENT = 2 ** 20

/** How many clients have ids of their own: ids stay whole numbers in a double. */
const ID_RANGE_COUNT = 2 ** 32

/** How long a command may take unless told otherwise, milliseconds. */
const COMMAND_TIMEOUT_MS = 30_000

export interface QmpConnectOptions {
  /** How long QEMU may take to greet, and to agree on out-of-band commands, milliseconds. Default 10,000. */
  readonly timeoutMs?: number
  /** How long to wait for the socket of a QEMU that is being started, milliseconds. Default 0. */
  readonly patienceMs?: number
}

export interface QmpCommandOptions {
  /** Default 30,000 milliseconds. What QEMU does after that is not known: it may still do it. */
  readonly timeoutMs?: number
  /** Has QEMU do it at once, even when its main loop hangs. Few commands allow that: `yank` is one. Default false. */
  readonly isOutOfBand?: boolean
}

interface Pending {
  readonly name: string
  readonly isOutOfBand: boolean
  /** Undefined when nobody waits any more: a reply is still to come. */
  settle: ((result: SkilfishError | { readonly value: unknown }) => void) | undefined
}

/**
 * A connection to the QMP socket of one QEMU (`-qmp unix:PATH,server=on,wait=off`). QEMU serves one client of a socket at a time.
 *
 * Memory: one message (4 MiB at most), and 23 commands.
 *
 * @example
 * const qemu = await QmpClient.connect('/run/vm1.qmp')
 * const stopped = qemu.waitForEvent('STOP', ({ name }) => name === 'STOP', 5000)
 * await qemu.execute('stop')
 * await stopped
 * qemu.close()
 */
export class QmpClient {
  /** Resolves when the connection is over: with the reason, or undefined after {@link close}. Never rejects. */
  readonly closed: Promise<SkilfishError | undefined>
  readonly #path: string
  readonly #socket: Socket
  readonly #reader = new QmpReader()
  readonly #pending = new Map<number, Pending>()
  readonly #listeners = new Set<(event: QmpEvent) => void>()
  #greeting: QmpGreeting | undefined
  #onGreeting: () => void = () => undefined
  readonly #firstId = randomInt(ID_RANGE_COUNT) * IDS_OF_A_CLIENT
  #lastId = this.#firstId - 1
  #failure: SkilfishError | undefined
  #resolveClosed!: (failure: SkilfishError | undefined) => void

  private constructor(path: string, socket: Socket) {
    this.#path = path
    this.#socket = socket
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve))
    socket.on('data', (bytes: Uint8Array) => this.#take(bytes))
    socket.on('error', (error) => this.#fail('QMP_CLOSED', `the connection broke (${systemReason(error)})`, error))
    socket.on('close', () => this.#fail('QMP_CLOSED', 'it ended the connection; it must run'))
  }

  /**
   * Connects, checks the greeting, and enables commands out of band.
   * @throws SkilfishError QMP_UNREACHABLE, QMP_INVALID, QMP_TIMEOUT, QMP_CLOSED, QMP_REFUSED
   */
  static async connect(path: string, options: QmpConnectOptions = {}): Promise<QmpClient> {
    try {
      return await QmpClient.#connectOnce(path, options)
    } catch (error) {
      // A client before this one has gone while QEMU's main loop hung, and its negotiation was taken for the one of this connection.
      if (!(error instanceof SkilfishError) || error.code !== 'QMP_REFUSED') throw error
      return QmpClient.#connectOnce(path, options)
    }
  }

  static async #connectOnce(path: string, options: QmpConnectOptions): Promise<QmpClient> {
    const { timeoutMs = 10_000, patienceMs = 0 } = options
    const socket = await connectUnixSocket(path, patienceMs).catch((cause: unknown) => {
      const text = `cannot connect to QEMU at ${path}: ${systemReason(cause)}; it must run and listen there`
      throw new SkilfishError('QMP_UNREACHABLE', text, { cause })
    })
    const client = new QmpClient(path, socket)
    try {
      await client.#meet(timeoutMs)
      await client.execute('qmp_capabilities', { enable: ['oob'] }, { timeoutMs })
      return client
    } catch (error) {
      client.close()
      throw error
    }
  }

  /** Major, minor, micro version of QEMU. */
  get version(): readonly [number, number, number] {
    return this.#greeting!.version
  }

  /**
   * Has QEMU execute a command.
   * @param args what QEMU's manual lists for it, which JSON can carry
   * @returns what it returns, unchecked
   * @throws SkilfishError QMP_REFUSED when QEMU says no; QMP_TIMEOUT, also when seven commands are unanswered; QMP_CLOSED, QMP_INVALID
   *   when the connection ends meanwhile or has ended
   */
  execute(name: string, args: object = {}, options: QmpCommandOptions = {}): Promise<unknown> {
    const { timeoutMs = COMMAND_TIMEOUT_MS, isOutOfBand = false } = options
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    const pendingCount = [...this.#pending.values()].filter((one) => one.isOutOfBand === isOutOfBand).length
    if (pendingCount >= (isOutOfBand ? MAX_OUT_OF_BAND_COUNT : MAX_PENDING_COUNT)) {
      return Promise.reject(this.#error('QMP_TIMEOUT', name, `it has not answered ${pendingCount} commands before`))
    }
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      const pending: Pending = { name, isOutOfBand, settle: undefined }
      const timer = setTimeout(() => {
        pending.settle?.(this.#error('QMP_TIMEOUT', name, `it has not answered for ${timeoutMs} ms`))
      }, timeoutMs)
      pending.settle = (result) => {
        clearTimeout(timer)
        pending.settle = undefined
        if (result instanceof SkilfishError) reject(result)
        else resolve(result.value)
      }
      this.#pending.set(id, pending)
      this.#socket.write(encodeQmpCommand(id, name, args, isOutOfBand))
    })
  }

  /** Calls `listener` for each event from now on. @returns what ends that */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Waits for the first event, from now on, that `matches`. Call it before the command that causes the event: that may be answered
   * later than the event comes. Whoever does not look at the promise has not lost a rejection: it is theirs to look.
   * @param what is waited for, for messages: completes "cannot wait for …"
   * @throws SkilfishError QMP_TIMEOUT, QMP_CLOSED, QMP_INVALID
   */
  waitForEvent(what: string, matches: (event: QmpEvent) => boolean, timeoutMs: number): Promise<QmpEvent> {
    const found = new Promise<QmpEvent>((resolve, reject) => {
      const finish = (end: () => void): void => {
        clearTimeout(timer)
        stop()
        end()
      }
      const stop = this.onEvent((event) => {
        if (matches(event)) finish(() => resolve(event))
      })
      const timer = setTimeout(() => {
        const text = `cannot wait for ${what} of QEMU at ${this.#path}: it has not come for ${timeoutMs} ms`
        finish(() => reject(new SkilfishError('QMP_TIMEOUT', text)))
      }, timeoutMs)
      void this.closed.then(() => finish(() => reject(this.#failure!)))
    })
    found.catch(() => undefined)
    return found
  }

  /** Ends the connection; what is pending fails. QEMU goes on. */
  close(): void {
    const text = `cannot talk to QEMU at ${this.#path}: the connection was closed at this end`
    this.#end(new SkilfishError('QMP_CLOSED', text), undefined)
  }

  async #meet(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => {
      this.#fail('QMP_UNREACHABLE', `it has not greeted for ${timeoutMs} ms; another client may hold the socket`)
    }, timeoutMs)
    await Promise.race([new Promise<void>((resolve) => (this.#onGreeting = resolve)), this.closed])
    clearTimeout(timer)
    if (this.#failure !== undefined) throw this.#failure
    if (this.#greeting?.capabilities.includes('oob') === true) return
    this.#fail('QMP_INVALID', 'it offers no commands out of band; QEMU must be 2.12 or newer')
    throw this.#failure as unknown as SkilfishError
  }

  #take(bytes: Uint8Array): void {
    try {
      this.#reader.push(bytes)
      for (let message = this.#reader.poll(); message !== undefined; message = this.#reader.poll()) {
        this.#handle(message)
        if (this.#failure !== undefined) return
      }
    } catch (error) {
      if (!(error instanceof SkilfishError)) throw error
      this.#end(error, error)
    }
  }

  #handle(message: QmpMessage): void {
    if (message.kind === 'greeting') {
      if (this.#greeting !== undefined) this.#fail('QMP_INVALID', 'it greets twice; it must greet once')
      this.#greeting = message
      this.#onGreeting()
      return
    }
    if (this.#greeting === undefined) {
      this.#fail('QMP_INVALID', `it begins with ${message.kind}; it must begin with a greeting`)
    } else if (message.kind === 'event') {
      for (const listener of this.#listeners) listener(message)
    } else {
      this.#handleReply(message)
    }
  }

  #handleReply(message: QmpMessage & { readonly kind: 'success' | 'refusal' }): void {
    const pending = message.id === undefined ? undefined : this.#pending.get(message.id)
    if (pending === undefined) {
      if (message.id !== undefined && !this.#isOwnId(message.id)) return
      const what =
        message.kind === 'refusal' ? `refuses what nobody asked: ${message.text}` : 'answers what nobody asked'
      this.#fail('QMP_INVALID', what)
      return
    }
    this.#pending.delete(message.id!)
    if (message.kind === 'success') pending.settle?.({ value: message.value })
    else
      pending.settle?.(
        this.#error('QMP_REFUSED', pending.name, `${message.reason}: ${message.text.replace(/\.$/, '')}`),
      )
  }

  #isOwnId(id: number): boolean {
    return id >= this.#firstId && id < this.#firstId + IDS_OF_A_CLIENT
  }

  #error(code: 'QMP_REFUSED' | 'QMP_TIMEOUT', name: string, text: string): SkilfishError {
    return new SkilfishError(code, `cannot have QEMU at ${this.#path} execute ${name}: ${text}`)
  }

  #fail(code: 'QMP_CLOSED' | 'QMP_INVALID' | 'QMP_UNREACHABLE', text: string, cause?: Error): void {
    const error = new SkilfishError(code, `cannot talk to QEMU at ${this.#path}: ${text}`, { cause })
    this.#end(error, error)
  }

  /** Once: `failure` is for what is pending and for whatever is asked from now on; `reason` is told by `closed`. */
  #end(failure: SkilfishError, reason: SkilfishError | undefined): void {
    if (this.#failure !== undefined) return
    this.#failure = failure
    this.#socket.destroy()
    for (const { settle } of this.#pending.values()) settle?.(failure)
    this.#pending.clear()
    this.#resolveClosed(reason)
  }
}
