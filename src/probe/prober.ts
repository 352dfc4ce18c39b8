import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { SkilfishError } from '../errors.ts'
import { monotonicUs, openUdpSocket, parseGroup, resolveInterface, type UdpSocket } from '../io/index.ts'
import { DEFAULT_GROUP, DEFAULT_MTU_BYTES, DEFAULT_PORT, MIN_MTU_BYTES, overheadBytes } from '../protocol/index.ts'
import { decodePacket, encodeFiller, encodeWord, type Answer, type FillerPurpose, type Question } from './messages.ts'

/** How often a question is asked until it is answered, milliseconds. */
const QUESTION_INTERVAL_MS = 100

/** Questions asked after the first answer, for listeners that have not answered yet. */
const MORE_QUESTIONS = 5

/** Listeners that are told apart at most. */
const MAX_LISTENERS = 64

/** MTUs that are tried when the first does not get through, bytes: of tunnels, PPPoE, the smallest for IPv6, and ours. */
const OTHER_MTUS = [1492, 1450, 1420, 1400, 1280, MIN_MTU_BYTES] as const

/** Packets of each length that are sent, so that loss alone seldom hides that one gets through. */
const PACKETS_PER_LENGTH = 5

/** Pause of the stream, milliseconds: what was due meanwhile is sent at once. */
const STREAM_TICK_MS = 2

/** Time for what is under way to arrive, milliseconds. */
const SETTLE_MS = 200

const DEFAULT_BITS_PER_SEC = 100_000_000
const DEFAULT_STREAM_MS = 3000
const DEFAULT_WAIT_MS = 10_000

export interface ProbeOptions {
  /** As for `send`. */
  readonly group?: string
  readonly interface?: string
  readonly ttl?: number
  readonly mtuBytes?: number
  readonly feedbackPort?: number
  /** Rate of the stream that loss is measured with, bits per second, headers included. Default 100 Mbit/s. */
  readonly bitrate?: number
  /** Its length, milliseconds. Default 3000. */
  readonly streamMs?: number
  /** Fail when nobody answers for this long, milliseconds. Default 10,000. */
  readonly startTimeoutMs?: number
  readonly signal?: AbortSignal
  readonly onLog?: (line: string) => void
}

/** What was found on the way to one listener. */
export interface PathFindings {
  readonly name: string
  readonly address: string
  readonly roundTripMs: number
  /** Longest packet that arrives, IP and UDP headers included; undefined: none of those that were tried. */
  readonly mtuBytes: number | undefined
  readonly receivedCount: number
  /** Packets that arrived at the host and found the socket full. */
  readonly droppedCount: number
  readonly recvBufferBytes: number
  readonly diskBytesPerSec: number | undefined
}

export interface ProbeResult {
  /** What was asked for. */
  readonly mtuBytes: number
  readonly bitrate: number
  /** Packets of the stream. */
  readonly sentCount: number
  /** What of {@link bitrate} this host came up to. */
  readonly sentBitsPerSec: number
  readonly sendBufferBytes: number
  readonly listeners: readonly PathFindings[]
}

/**
 * Looks how packets get from here to all who listen (`listen`), and back.
 * @throws SkilfishError NO_RECEIVERS when nobody answers, INTERRUPTED, and those of sockets
 */
export async function probe(options: ProbeOptions): Promise<ProbeResult> {
  const group = parseGroup(options.group ?? DEFAULT_GROUP, DEFAULT_PORT)
  const networkInterface = resolveInterface(options.interface, group.family)
  const { ttl, feedbackPort } = options
  const socket = await openUdpSocket({
    ...{ group, role: 'sender', interface: networkInterface, offload: 'off' },
    ...(ttl === undefined ? {} : { ttl }),
    ...(feedbackPort === undefined ? {} : { feedbackPort }),
  })
  try {
    const mtuBytes = options.mtuBytes ?? Math.min(DEFAULT_MTU_BYTES, networkInterface?.mtuBytes ?? DEFAULT_MTU_BYTES)
    return await new Prober(socket, options, mtuBytes, overheadBytes(group.family)).run()
  } finally {
    await socket.close()
  }
}

interface Heard {
  readonly answer: Answer
  readonly address: string
}

class Prober {
  readonly #socket: UdpSocket
  readonly #options: ProbeOptions
  readonly #mtuBytes: number
  readonly #overheadBytes: number
  readonly #id = randomBytes(4).toString('hex')
  #number = 0
  /** When each question was asked first, microseconds. */
  #askedUs = 0
  /** The latest answers, by listener. */
  readonly #heard = new Map<string, Heard>()
  readonly #roundTripsMs = new Map<string, number>()

  constructor(socket: UdpSocket, options: ProbeOptions, mtuBytes: number, overhead: number) {
    this.#socket = socket
    this.#options = options
    this.#mtuBytes = mtuBytes
    this.#overheadBytes = overhead
    socket.onMessage = (bytes, { address }) => this.#take(bytes, address)
  }

  async run(): Promise<ProbeResult> {
    const { startTimeoutMs = DEFAULT_WAIT_MS, bitrate = DEFAULT_BITS_PER_SEC, onLog = () => undefined } = this.#options
    if (!(await this.#ask('hello', startTimeoutMs))) {
      const text = `nobody answered within ${startTimeoutMs / 1000} s: either the group does not reach those who listen, or their answers do not come back`
      throw new SkilfishError('NO_RECEIVERS', text)
    }
    onLog(`${this.#heard.size} answered; trying lengths`)
    await this.#tryLengths()
    await this.#ask('report', startTimeoutMs)
    const longest = Math.min(...[...this.#heard.values()].map(({ answer }) => answer.longestBytes).filter(Boolean))
    onLog('measuring loss')
    const { sentCount, elapsedUs, lengthBytes } = await this.#stream(Number.isFinite(longest) ? longest : 500, bitrate)
    await this.#ask('report', startTimeoutMs)
    const listeners = [...this.#heard.values()].map((heard) => this.#findings(heard))
    await this.#ask('bye', 1000)
    const sentBitsPerSec = (sentCount * (lengthBytes + this.#overheadBytes) * 8e6) / elapsedUs
    const facts = { mtuBytes: this.#mtuBytes, sendBufferBytes: this.#socket.facts.sendBufferBytes }
    return { ...facts, bitrate, sentCount, sentBitsPerSec, listeners }
  }

  /** Asks until there is an answer, and then some more. @returns whether there was any */
  async #ask(kind: Question['kind'], timeoutMs: number): Promise<boolean> {
    this.#number++
    this.#askedUs = monotonicUs()
    const known = this.#heard.size
    let answeredCount = 0
    const isAnswered = (): boolean =>
      [...this.#heard.values()].some(({ answer }) => answer.number === this.#number) &&
      answeredCount++ >= MORE_QUESTIONS
    for (let askedMs = 0; askedMs < timeoutMs; askedMs += QUESTION_INTERVAL_MS) {
      this.#throwIfInterrupted()
      await this.#send(encodeWord(this.#id, { kind, number: this.#number }))
      await delay(QUESTION_INTERVAL_MS)
      const all = [...this.#heard.values()].filter(({ answer }) => answer.number === this.#number).length
      if (known > 0 && all === known) return true
      if (isAnswered()) return true
    }
    return this.#heard.size > 0
  }

  async #tryLengths(): Promise<void> {
    for (const mtuBytes of [this.#mtuBytes, ...OTHER_MTUS.filter((each) => each < this.#mtuBytes)]) {
      for (let count = 0; count < PACKETS_PER_LENGTH; count++) {
        await this.#send(this.#filler('size', mtuBytes - this.#overheadBytes))
        await delay(STREAM_TICK_MS)
      }
    }
    await delay(SETTLE_MS)
  }

  async #stream(
    lengthBytes: number,
    bitrate: number,
  ): Promise<{ sentCount: number; elapsedUs: number; lengthBytes: number }> {
    const filler = this.#filler('stream', lengthBytes)
    const packetBits = (lengthBytes + this.#overheadBytes) * 8
    const beganUs = monotonicUs()
    const lengthUs = (this.#options.streamMs ?? DEFAULT_STREAM_MS) * 1000
    const passedUs = (): number => monotonicUs() - beganUs
    let [sentCount, elapsedUs] = [0, 0]
    while (elapsedUs < lengthUs) {
      this.#throwIfInterrupted()
      const due = Math.floor((bitrate * elapsedUs) / 1e6 / packetBits)
      // A host that does not come up to the rate has ever more to send.
      for (; sentCount < due && passedUs() < lengthUs; sentCount++) await this.#send(filler)
      await delay(STREAM_TICK_MS)
      elapsedUs = passedUs()
    }
    await delay(SETTLE_MS)
    return { sentCount, elapsedUs, lengthBytes }
  }

  #filler(purpose: FillerPurpose, lengthBytes: number): Uint8Array {
    return encodeFiller(this.#id, purpose, lengthBytes)
  }

  /** What the system refuses, or has no room for, is lost: that is what is looked for. */
  #send(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => this.#socket.sendToGroup(bytes, bytes.length, bytes.length, () => resolve()))
  }

  #take(bytes: Uint8Array, address: string): void {
    const packet = decodePacket(bytes)
    if (packet?.probe !== this.#id || !('word' in packet) || packet.word.kind !== 'answer') return
    const answer = packet.word
    if (!this.#heard.has(answer.listener)) {
      if (this.#heard.size >= MAX_LISTENERS) return
      this.#roundTripsMs.set(answer.listener, ((monotonicUs() - this.#askedUs) / 1000) % QUESTION_INTERVAL_MS)
    }
    this.#heard.set(answer.listener, { answer, address })
  }

  #findings({ answer, address }: Heard): PathFindings {
    const { listener, name, longestBytes, streamCount, droppedCount, recvBufferBytes, diskBytesPerSec } = answer
    return {
      ...{ name, address, roundTripMs: this.#roundTripsMs.get(listener) ?? 0 },
      mtuBytes: longestBytes === 0 ? undefined : longestBytes + this.#overheadBytes,
      ...{ receivedCount: streamCount, droppedCount, recvBufferBytes, diskBytesPerSec },
    }
  }

  #throwIfInterrupted(): void {
    if (this.#options.signal?.aborted) throw new SkilfishError('INTERRUPTED', 'the probe was interrupted')
  }
}
