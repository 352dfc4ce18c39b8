import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { SkilfishError } from '../../errors.ts'
import { systemReason } from '../../io/index.ts'

/** What the handshake and messages begin with. Source: the NBD protocol, doc/proto.md of github.com/NetworkBlockDevice/nbd. */
const MAGIC = {
  greeting: 0x4e42444d41474943n,
  option: 0x49484156454f5054n,
  optionReply: 0x3e889045565a9n,
  request: 0x25609513,
  reply: 0x67446698,
} as const

const HANDSHAKE_FLAGS = 0b11 // fixed newstyle, no zeros behind the export's facts
const OPTION_GO = 7
const REPLY = { ack: 1, info: 3, errorBit: 0x80000000 } as const
const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3, zero: 6 } as const

/** Longest answer to the option, bytes: texts of a server. */
const MAX_OPTION_REPLY_BYTES = 64 * 1024

/** Requests under way at once; more wait. */
const MAX_PENDING_COUNT = 64

/** Longest read or write, bytes: what every server takes. */
const MAX_REQUEST_BYTES = 32 * 1024 * 1024

export type NbdPlace = { readonly path: string } | { readonly host: string; readonly port: number }

interface Pending {
  readonly readBytes: number
  readonly resolve: (data: Buffer) => void
  readonly reject: (error: Error) => void
}

/**
 * A connection to one export of an NBD server. Any number of calls at once, up to 64; they may be answered in any order.
 *
 * Every method rejects with SkilfishError NBD_FAILED when the server refuses, breaks the protocol, or does not answer for `timeoutMs`;
 * the connection is of no use then.
 */
export class NbdClient {
  sizeBytes = 0
  readonly #label: string
  readonly #socket: Socket
  readonly #timeoutMs: number
  readonly #pending = new Map<bigint, Pending>()
  #chunks: Buffer[] = []
  #availableBytes = 0
  #wake: () => void = () => undefined
  #lastHandle = 0n
  #failure: SkilfishError | undefined
  #isClosing = false

  private constructor(label: string, socket: Socket, timeoutMs: number) {
    this.#label = label
    this.#socket = socket
    this.#timeoutMs = timeoutMs
    socket.setNoDelay(true)
    // With requests under way a server must say something; a connection at rest may be silent.
    socket.setTimeout(timeoutMs, () => {
      if (this.#pending.size > 0 || this.sizeBytes === 0) this.#fail(`it has not answered for ${timeoutMs} ms`)
    })
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#availableBytes += chunk.length
      this.#wake()
    })
    socket.on('error', (error) => this.#fail(systemReason(error), error))
    socket.on('close', () => this.#fail(this.#isClosing ? 'it is closed' : 'it ended the connection'))
  }

  /** Connects and chooses an export. */
  static async connect(place: NbdPlace, exportName: string, timeoutMs: number): Promise<NbdClient> {
    const label = 'path' in place ? place.path : `${place.host}:${place.port}`
    const client = new NbdClient(`${exportName} at ${label}`, connect(place), timeoutMs)
    try {
      await client.#negotiate(exportName)
    } catch (error) {
      client.#socket.destroy()
      throw error
    }
    void client.#handleReplies().catch((error: unknown) => client.#fail(String(error)))
    return client
  }

  read(offset: number, lengthBytes: number): Promise<Buffer> {
    return this.#request(COMMAND.read, offset, lengthBytes)
  }

  /** `bytes` are the caller's again when it resolves. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#request(COMMAND.write, offset, bytes.length, bytes)
  }

  async zero(offset: number, lengthBytes: number): Promise<void> {
    await this.#request(COMMAND.zero, offset, lengthBytes)
  }

  async flush(): Promise<void> {
    await this.#request(COMMAND.flush, 0, 0)
  }

  /** Ends the connection in order. What is under way fails. */
  async close(): Promise<void> {
    if (this.#failure !== undefined) return
    this.#isClosing = true
    this.#socket.end(header(COMMAND.disconnect, ++this.#lastHandle, 0, 0))
    const closed = once(this.#socket, 'close')
    const timer = setTimeout(() => this.#socket.destroy(), this.#timeoutMs)
    await closed.catch(() => undefined)
    clearTimeout(timer)
  }

  async #negotiate(exportName: string): Promise<void> {
    const greeting = await this.#take(18)
    if (greeting.readBigUInt64BE(0) !== MAGIC.greeting || greeting.readBigUInt64BE(8) !== MAGIC.option) {
      throw this.#fail('it does not greet as an NBD server')
    }
    const name = Buffer.from(exportName)
    const option = Buffer.alloc(4 + 16 + 4 + name.length + 2)
    option.writeUInt32BE(HANDSHAKE_FLAGS & greeting.readUInt16BE(16), 0)
    option.writeBigUInt64BE(MAGIC.option, 4)
    option.writeUInt32BE(OPTION_GO, 12)
    option.writeUInt32BE(4 + name.length + 2, 16)
    option.writeUInt32BE(name.length, 20)
    name.copy(option, 24)
    this.#socket.write(option)
    for (;;) {
      const head = await this.#take(20)
      const type = head.readUInt32BE(12)
      const lengthBytes = head.readUInt32BE(16)
      if (head.readBigUInt64BE(0) !== MAGIC.optionReply || lengthBytes > MAX_OPTION_REPLY_BYTES) {
        throw this.#fail('its answer to the choice of an export is none')
      }
      const body = await this.#take(lengthBytes)
      if (type === REPLY.ack) return
      if (type >= REPLY.errorBit) throw this.#fail(`it refuses: ${printable(body) || `error ${type - REPLY.errorBit}`}`)
      if (type === REPLY.info && body.length >= 12 && body.readUInt16BE(0) === 0) {
        this.sizeBytes = Number(body.readBigUInt64BE(2))
      }
    }
  }

  async #handleReplies(): Promise<void> {
    while (this.#failure === undefined) {
      const head = await this.#take(16).catch(() => undefined)
      if (head === undefined) return
      const handle = head.readBigUInt64BE(8)
      const pending = this.#pending.get(handle)
      if (head.readUInt32BE(0) !== MAGIC.reply || pending === undefined) {
        this.#fail('it answers what nobody asked')
        return
      }
      const errorNumber = head.readUInt32BE(4)
      const data = await this.#take(errorNumber === 0 ? pending.readBytes : 0).catch(() => undefined)
      if (data === undefined) return
      this.#pending.delete(handle)
      if (errorNumber === 0) pending.resolve(data)
      else pending.reject(this.#error(`it failed a request with error ${errorNumber}`))
    }
  }

  #request(command: number, offset: number, lengthBytes: number, bytes?: Uint8Array): Promise<Buffer> {
    if (lengthBytes > MAX_REQUEST_BYTES || this.#pending.size >= MAX_PENDING_COUNT) {
      throw new RangeError(`expected up to ${MAX_REQUEST_BYTES} bytes and ${MAX_PENDING_COUNT} requests at once`)
    }
    if (this.#failure !== undefined || this.#isClosing)
      return Promise.reject(this.#failure ?? this.#error('it is closed'))
    const handle = ++this.#lastHandle
    return new Promise((resolve, reject) => {
      this.#pending.set(handle, { readBytes: command === COMMAND.read ? lengthBytes : 0, resolve, reject })
      this.#socket.write(header(command, handle, offset, lengthBytes))
      if (bytes !== undefined) this.#socket.write(bytes)
    })
  }

  async #take(lengthBytes: number): Promise<Buffer> {
    while (this.#availableBytes < lengthBytes) {
      if (this.#failure !== undefined) throw this.#failure
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    const whole = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks)
    this.#chunks = whole.length > lengthBytes ? [whole.subarray(lengthBytes)] : []
    this.#availableBytes -= lengthBytes
    return whole.subarray(0, lengthBytes)
  }

  #fail(text: string, cause?: Error): SkilfishError {
    this.#failure ??= this.#error(text, cause)
    this.#socket.destroy()
    for (const { reject } of this.#pending.values()) reject(this.#failure)
    this.#pending.clear()
    this.#wake()
    return this.#failure
  }

  #error(text: string, cause?: Error): SkilfishError {
    return new SkilfishError('NBD_FAILED', `cannot use the NBD export ${this.#label}: ${text}`, { cause })
  }
}

function header(command: number, handle: bigint, offset: number, lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(28)
  bytes.writeUInt32BE(MAGIC.request, 0)
  bytes.writeUInt16BE(command, 6)
  bytes.writeBigUInt64BE(handle, 8)
  bytes.writeBigUInt64BE(BigInt(offset), 16)
  bytes.writeUInt32BE(lengthBytes, 24)
  return bytes
}

const printable = (text: Buffer): string => text.toString().replace(/\p{Cc}/gu, '?')
