import type { Socket } from 'node:dgram'
import { formatEndpoint, type IpFamily } from './group-address.ts'
import type { SendBatch } from './message-batch.ts'
import { networkError } from './network-error.ts'
import { errnoName } from './storage-error.ts'

/** Most datagrams that one segmented send may hold: UDP_MAX_SEGMENTS of Linux since 4.18 (later kernels allow 128). */
export const MAX_SEGMENT_COUNT = 64

/** Longest payload of one send, bytes: 65,535 less the UDP header, and less the IP header where its length counts (IPv4). */
const MAX_SEND_BYTES: Readonly<Record<IpFamily, number>> = { 4: 65_507, 6: 65_527 }

/** What the kernel answers when it, or the device, cannot segment a send: no checksum offload, or segments beyond the MTU. */
const REFUSALS = new Set(['EIO', 'EINVAL', 'EMSGSIZE'])

/** Told once that a send is over and its buffer is the caller's again; never called before the send call has returned. */
export type SendCallback = (error?: Error) => void

/**
 * Sends datagrams, and runs of equal-sized datagrams, through a bound dgram socket: with segmentation offload a run is one
 * system call, without it one for each datagram. With a batch, a run to the group can be one system call either way, which does not pass
 * through Node.js. The socket must resolve addresses synchronously, as the segment size is a
 * property of the whole socket and holds for whatever leaves it.
 */
export class DatagramSender {
  readonly #socket: Socket
  readonly #family: IpFamily
  /** Sets the socket's segment size; undefined once, or from the start, without segmentation offload. */
  #setSegmentBytes: ((segmentBytes: number) => number) | undefined
  /** What the socket's segment size is now; 0: none. */
  #segmentBytes = 0
  readonly #batch: SendBatch | undefined
  #refusal: string | undefined
  #isClosed = false
  /** Requests at rest. As many are made as were ever under way at once. */
  readonly #idle: SendRequest[] = []

  /**
   * @param setSegmentBytes returns 0 or a negated error number; left undefined: no segmentation offload
   * @param batch of the same socket, for {@link sendNow}
   */
  constructor(
    socket: Socket,
    family: IpFamily,
    setSegmentBytes: ((segmentBytes: number) => number) | undefined,
    batch?: SendBatch,
  ) {
    this.#socket = socket
    this.#batch = batch
    this.#family = family
    this.#setSegmentBytes = setSegmentBytes
  }

  get isSegmenting(): boolean {
    return this.#setSegmentBytes !== undefined
  }

  /** Whether {@link sendNow} does anything. */
  get sendsNow(): boolean {
    return this.#batch !== undefined
  }

  /** Why the kernel's segmentation was given up; undefined when it was not. */
  get refusal(): string | undefined {
    return this.#refusal
  }

  /**
   * Sends the first `length` bytes of `buffer` as datagrams of `segmentBytes` each, the last of which may be shorter.
   *
   * @throws RangeError when the run is empty or longer than one send may be.
   */
  send(
    buffer: Uint8Array,
    length: number,
    segmentBytes: number,
    address: string,
    port: number,
    done: SendCallback,
  ): void {
    checkRun(this.#family, buffer, length, segmentBytes)
    if (this.#isClosed) {
      failClosed(done, address, port)
    } else if (this.#setSegmentBytes && !this.#adoptSegmentBytes(length, segmentBytes)) {
      // Sends that still wait in the process would leave with the new segment size.
      fail(done, address, port, 'EAGAIN', 'the segment size cannot change while sends wait')
    } else {
      const request = this.#idle.pop() ?? this.#createRequest()
      request.buffer = buffer
      request.lengthBytes = length
      request.segmentBytes = segmentBytes
      request.address = address
      request.port = port
      request.done = done
      if (this.#setSegmentBytes) this.#sendWhole(request)
      else this.#sendEach(request)
    }
  }

  /**
   * Hands the first `length` bytes of `buffer` to the kernel at once, as {@link send} would, for the address of the batch.
   * @returns how many bytes it has taken, a whole number of datagrams; what is left, for whatever reason, is for {@link send}
   * @throws RangeError as {@link send}
   */
  sendNow(buffer: Uint8Array, length: number, segmentBytes: number): number {
    checkRun(this.#family, buffer, length, segmentBytes)
    // What waits goes first.
    if (this.#batch === undefined || this.#isClosed || this.#socket.getSendQueueCount() > 0) return 0
    if (this.#setSegmentBytes && !this.#adoptSegmentBytes(length, segmentBytes)) return 0
    return this.#batch.send(buffer, length, this.#segmentBytes > 0 ? length : segmentBytes)
  }

  /** Later sends fail. Those under way end with the socket. */
  close(): void {
    this.#isClosed = true
  }

  /** Makes the socket's segment size fit the next send; false while it must not change. */
  #adoptSegmentBytes(length: number, segmentBytes: number): boolean {
    const current = this.#segmentBytes
    const isSingle = length <= segmentBytes
    if (isSingle ? current === 0 || length <= current : current === segmentBytes) return true
    if (this.#socket.getSendQueueCount() > 0) return false
    const wanted = isSingle ? 0 : segmentBytes
    const result = this.#setSegmentBytes!(wanted)
    if (result < 0) this.#giveUpSegmenting(`the kernel refused a segment size of ${wanted} bytes`)
    else this.#segmentBytes = wanted
    return true
  }

  #sendWhole(request: SendRequest): void {
    request.isSegmented = this.#segmentBytes > 0
    request.pendingCount = 1
    this.#socket.send(request.buffer, 0, request.lengthBytes, request.port, request.address, request.settle)
  }

  #sendEach(request: SendRequest): void {
    const { buffer, lengthBytes, segmentBytes, port, address, settle } = request
    request.isSegmented = false
    request.pendingCount = Math.ceil(lengthBytes / segmentBytes)
    for (let at = 0; at < lengthBytes; at += segmentBytes) {
      this.#socket.send(buffer, at, Math.min(segmentBytes, lengthBytes - at), port, address, settle)
    }
  }

  #createRequest(): SendRequest {
    const request: SendRequest = {
      buffer: NO_BYTES,
      lengthBytes: 0,
      segmentBytes: 0,
      address: '',
      port: 0,
      done: ignore,
      isSegmented: false,
      pendingCount: 0,
      error: undefined,
      settle: (error) => this.#settle(request, error),
    }
    return request
  }

  #settle(request: SendRequest, error: Error | null): void {
    if (error && request.isSegmented && !this.#isClosed && REFUSALS.has(errnoName(error) ?? '')) {
      this.#giveUpSegmenting(
        `the kernel or the device refused to segment a send (${errnoName(error)}, ${request.segmentBytes} bytes)`,
      )
      this.#sendEach(request)
      return
    }
    if (error) request.error ??= error
    request.pendingCount--
    if (request.pendingCount > 0) return
    const { done, address, port, error: failure } = request
    request.buffer = NO_BYTES
    request.done = ignore
    request.error = undefined
    this.#idle.push(request)
    if (failure) done(networkError(`send to ${formatEndpoint(address, port)}`, failure))
    else done()
  }

  #giveUpSegmenting(why: string): void {
    // With a segment size set, the kernel refuses single datagrams as well.
    this.#setSegmentBytes?.(0)
    this.#setSegmentBytes = undefined
    this.#segmentBytes = 0
    this.#refusal ??= why
  }
}

/** One send under way. Reused, so that a send makes no closure of its own. */
interface SendRequest {
  buffer: Uint8Array
  lengthBytes: number
  segmentBytes: number
  address: string
  port: number
  done: SendCallback
  /** Sent with a segment size set at the socket. */
  isSegmented: boolean
  /** Datagrams (or the one segmented run) that the socket has not reported on. */
  pendingCount: number
  error: Error | undefined
  readonly settle: (error: Error | null) => void
}

const NO_BYTES = new Uint8Array(0)

const ignore = (): void => undefined

/** @throws RangeError when a run is empty, or longer than its buffer or than one send may be */
export function checkRun(family: IpFamily, buffer: Uint8Array, length: number, segmentBytes: number): void {
  const most = MAX_SEND_BYTES[family]
  if (length > 0 && length <= buffer.length && length <= most && segmentBytes > 0) {
    if (length <= segmentBytes * MAX_SEGMENT_COUNT) return
  }
  throw new RangeError(
    `a send holds 1 to ${most} bytes of its buffer in at most ${MAX_SEGMENT_COUNT} segments; ` +
      `got ${length} bytes in segments of ${segmentBytes}, buffer ${buffer.length}`,
  )
}

/** Fails a send at a socket that was closed, after the call. */
export const failClosed = (done: SendCallback, address: string, port: number): void =>
  fail(done, address, port, 'EBADF', 'the socket is closed')

function fail(done: SendCallback, address: string, port: number, code: string, message: string): void {
  const cause = Object.assign(new Error(message), { code })
  process.nextTick(done, networkError(`send to ${formatEndpoint(address, port)}`, cause))
}
