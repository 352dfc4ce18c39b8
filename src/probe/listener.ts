import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { SkilfishError } from '../errors.ts'
import { measureDisk, openUdpSocket, parseGroup, resolveInterface, type UdpSocket } from '../io/index.ts'
import { clipText, DEFAULT_GROUP, DEFAULT_PORT } from '../protocol/index.ts'
import { decodePacket, encodeWord, type Answer, type Question } from './messages.ts'

/** A prober that says nothing for this long has gone, milliseconds. Ours: it repeats itself ten times a second. */
const SILENCE_MS = 10_000

export interface ListenOptions {
  /** As for `receive`. */
  readonly group?: string
  readonly interface?: string
  /** A folder: how fast a file in it is written is measured first, with 256 MiB that are removed again. Default: not measured. */
  readonly disk?: string
  /** Fail when no prober is heard for this long, milliseconds. Default: no limit. */
  readonly startTimeoutMs?: number
  readonly signal?: AbortSignal
  readonly onLog?: (line: string) => void
}

/** What a listener has answered at the end. */
export type ListenResult = Omit<Answer, 'kind' | 'number'> & { readonly prober: string }

/**
 * Answers one prober of the group, until that says that it has what it wants.
 * @throws SkilfishError NO_SENDER when none is heard in time or none hears the answers, SENDER_LOST when it falls silent, INTERRUPTED, and those of sockets and files
 */
export async function listen(options: ListenOptions): Promise<ListenResult> {
  const { signal, onLog = () => undefined } = options
  const group = parseGroup(options.group ?? DEFAULT_GROUP, DEFAULT_PORT)
  const networkInterface = resolveInterface(options.interface, group.family)
  const diskBytesPerSec = options.disk === undefined ? undefined : await measureDisk(options.disk)
  // Packet by packet, as every other one is counted.
  const socket = await openUdpSocket({ group, role: 'receiver', interface: networkInterface, offload: 'off' })
  try {
    onLog('listening for a probe')
    return await new Promise<ListenResult>((resolve, reject) => {
      const fail = (code: 'NO_SENDER' | 'SENDER_LOST' | 'INTERRUPTED', text: string): void =>
        reject(new SkilfishError(code, text))
      const { startTimeoutMs } = options
      let timer =
        startTimeoutMs === undefined
          ? undefined
          : setTimeout(() => fail('NO_SENDER', 'no probe was heard in time'), startTimeoutMs)
      const interrupt = (): void => fail('INTERRUPTED', 'the probe was interrupted')
      if (signal?.aborted) interrupt()
      signal?.addEventListener('abort', interrupt, { once: true })
      const listener = new Listener(socket, diskBytesPerSec)
      listener.onHeard = () => {
        clearTimeout(timer)
        timer = setTimeout(() => {
          if (listener.isHeard) fail('SENDER_LOST', 'the probe fell silent before its end')
          else fail('NO_SENDER', UNHEARD)
        }, SILENCE_MS)
      }
      listener.onEnd = (result) => {
        clearTimeout(timer)
        resolve(result)
      }
    })
  } finally {
    await socket.close()
  }
}

const UNHEARD =
  'a probe was heard, but no answer has reached it: let UDP in where it runs, at the port of its --feedback-port'

class Listener {
  onHeard: () => void = () => undefined
  onEnd: (result: ListenResult) => void = () => undefined
  /** Whether the prober has an answer of somebody: else it asks nothing but whether anybody is there. */
  isHeard = false
  readonly #socket: UdpSocket
  readonly #facts: Pick<Answer, 'listener' | 'name' | 'recvBufferBytes' | 'diskBytesPerSec'>
  /** The probe that is answered: the first that is heard. */
  #probe: string | undefined
  #longestBytes = 0
  #streamCount = 0

  constructor(socket: UdpSocket, diskBytesPerSec: number | undefined) {
    this.#socket = socket
    this.#facts = {
      ...{ listener: randomBytes(8).toString('hex'), name: clipText(hostname()) },
      recvBufferBytes: socket.facts.recvBufferBytes,
      ...(diskBytesPerSec === undefined ? {} : { diskBytesPerSec }),
    }
    socket.onMessage = (bytes, { address, port }) => this.#take(bytes, address, port)
  }

  #take(bytes: Uint8Array, address: string, port: number): void {
    const packet = decodePacket(bytes)
    if (packet === undefined) return
    this.#probe ??= packet.probe
    if (packet.probe !== this.#probe) return
    this.onHeard()
    if ('filler' in packet) {
      if (packet.filler === 'stream') this.#streamCount++
      else this.#longestBytes = Math.max(this.#longestBytes, packet.lengthBytes)
    } else if (packet.word.kind !== 'answer') this.#answer(packet.word, address, port)
  }

  #answer({ kind, number }: Question, address: string, port: number): void {
    if (kind !== 'hello') this.isHeard = true
    const found = {
      ...{ ...this.#facts, longestBytes: this.#longestBytes, streamCount: this.#streamCount },
      droppedCount: this.#socket.receiveQueue()?.droppedCount ?? 0,
    }
    const bytes = encodeWord(this.#probe!, { kind: 'answer', number, ...found })
    // What is lost is asked for again.
    this.#socket.sendTo(bytes, bytes.length, address, port, () => {
      if (kind === 'bye') this.onEnd({ ...found, prober: address })
    })
  }
}
