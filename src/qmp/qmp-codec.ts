import { SkilfishError } from '../errors.ts'

/** Foreign JSON: nothing in it is what it seems before it has been looked at. */
export type JsonObject = Readonly<Record<string, unknown>>

/** What QEMU says first. */
export interface QmpGreeting {
  readonly kind: 'greeting'
  /** Major, minor, micro. */
  readonly version: readonly [number, number, number]
  /** What can be enabled: `oob` for commands out of band. */
  readonly capabilities: readonly string[]
}

/** Something that happened in QEMU: `name` as in its manual, such as `BLOCK_JOB_COMPLETED`. */
export interface QmpEvent {
  readonly kind: 'event'
  readonly name: string
  readonly data: JsonObject
}

export type QmpMessage =
  | QmpGreeting
  | QmpEvent
  | { readonly kind: 'success'; readonly id: number; readonly value: unknown }
  /** `id` is undefined where QEMU could not tell what it refuses. `reason` is its class: `GenericError` for nearly all. */
  | { readonly kind: 'refusal'; readonly id: number | undefined; readonly reason: string; readonly text: string }

/** A message longer than this is refused, bytes. The nodes of a hundred disks take about 100 KB. Our choice: bounds memory. */
export const MAX_MESSAGE_BYTES: number = 4 * 1024 * 1024

/**
 * A push parser for what QEMU sends: one JSON object a line. However the input is split, the messages are the same.
 *
 * Source: QEMU 7.2, docs/interop/qmp-spec.
 */
export class QmpReader {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true })
  /** What has come in and was not polled yet: the first chunk from `#start` on. */
  readonly #chunks: Uint8Array[] = []
  #start = 0
  /** The beginning of a line that is not whole yet. */
  readonly #parts: Uint8Array[] = []
  #lineBytes = 0
  /** Where the line begins in all that has come. */
  #position = 0

  /** Takes the next bytes, any number. They must not change any more. */
  push(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#chunks.push(bytes)
  }

  /**
   * The next message, or undefined when more bytes are needed.
   * @throws SkilfishError QMP_INVALID with the place where a line begins that is no message, or is longer than 4 MiB. Nothing can be
   *   read behind it.
   */
  poll(): QmpMessage | undefined {
    for (let line = this.#takeLine(); line !== undefined; line = this.#takeLine()) {
      const text = this.#decode(line).trim()
      const message = text === '' ? undefined : this.#parse(text)
      this.#position += line.length
      if (message !== undefined) return message
    }
    return undefined
  }

  /** @returns a line with its end */
  #takeLine(): Uint8Array | undefined {
    for (let chunk = this.#chunks[0]; chunk !== undefined; chunk = this.#chunks[0]) {
      const newline = chunk.indexOf(NEWLINE, this.#start)
      const end = newline < 0 ? chunk.length : newline + 1
      this.#parts.push(chunk.subarray(this.#start, end))
      this.#lineBytes += end - this.#start
      if (this.#lineBytes > MAX_MESSAGE_BYTES) throw this.#invalid(`a message of more than ${MAX_MESSAGE_BYTES} bytes`)
      this.#start = end
      if (end === chunk.length) {
        this.#chunks.shift()
        this.#start = 0
      }
      if (newline >= 0) return this.#joinParts()
    }
    return undefined
  }

  #joinParts(): Uint8Array {
    const line = new Uint8Array(this.#lineBytes)
    let at = 0
    for (const part of this.#parts.splice(0)) {
      line.set(part, at)
      at += part.length
    }
    this.#lineBytes = 0
    return line
  }

  #decode(line: Uint8Array): string {
    try {
      return this.#decoder.decode(line)
    } catch {
      throw this.#invalid('a line that is no UTF-8')
    }
  }

  #parse(text: string): QmpMessage {
    const message = toMessage(parseJson(text))
    if (message === undefined) throw this.#invalid(JSON.stringify(text.slice(0, 100)))
    return message
  }

  #invalid(found: string): SkilfishError {
    const wanted = 'a greeting, a reply or an event, in one line of JSON'
    return new SkilfishError(
      'QMP_INVALID',
      `cannot read what QEMU sends: byte ${this.#position}: ${found}; expected ${wanted}`,
    )
  }
}

/** One command as it is sent. `args`: its arguments, of what JSON can carry. */
export function encodeQmpCommand(id: number, name: string, args: object, isOutOfBand: boolean): Uint8Array {
  const command = { [isOutOfBand ? 'exec-oob' : 'execute']: name, arguments: args, id }
  return new TextEncoder().encode(`${JSON.stringify(command)}\n`)
}

const NEWLINE = 0x0a

/** @returns undefined for what is no JSON, too */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function toMessage(value: unknown): QmpMessage | undefined {
  if (!isObject(value)) return undefined
  const { QMP: greeting, event, data = {}, error, id } = value
  if (greeting !== undefined) return toGreeting(greeting)
  if (typeof event === 'string') return isObject(data) ? { kind: 'event', name: event, data } : undefined
  if (id !== undefined && !Number.isSafeInteger(id)) return undefined
  if (isObject(error)) {
    const { class: reason, desc: text } = error
    if (typeof reason !== 'string' || typeof text !== 'string') return undefined
    return { kind: 'refusal', id: id as number | undefined, reason, text }
  }
  return id !== undefined && 'return' in value
    ? { kind: 'success', id: id as number, value: value['return'] }
    : undefined
}

function toGreeting(value: unknown): QmpGreeting | undefined {
  if (!isObject(value) || !isObject(value['version']) || !isObject(value['version']['qemu'])) return undefined
  const { major, minor, micro } = value['version']['qemu']
  const { capabilities } = value
  const version = [major, minor, micro]
  if (!version.every(Number.isSafeInteger) || !Array.isArray(capabilities)) return undefined
  if (!capabilities.every((one): one is string => typeof one === 'string')) return undefined
  return { kind: 'greeting', version: version as [number, number, number], capabilities }
}
