import { endianness } from 'node:os'
import type { IpFamily } from './group-address.ts'
import type { Libc } from './libc.ts'

// Layout of Linux's structures on 64-bit machines: see recvmmsg(2), bits/types/struct_iovec.h.
const IOVEC_BYTES = 16
const MMSGHDR_BYTES = 64
const NAME_AT = 0
const NAME_LENGTH_AT = 8
const VECTOR_AT = 16
const VECTOR_COUNT_AT = 24
const LENGTH_AT = 56

/** A flag of Linux's calls that send and receive. */
export const MSG_DONTWAIT = 0x40

/** Room for a socket address of any family that is used here: `struct sockaddr_in6`. */
const NAME_BYTES = 28
const USED_NAME_BYTES: Readonly<Record<IpFamily, number>> = { 4: 16, 6: 28 }

/**
 * From one message to the next: room for the longest, and some more, so that the messages' first bytes do not all fall into the same few
 * sets of the processor's caches.
 */
const MESSAGE_STRIDE_BYTES = 65_536 + 2112

/** Processors whose structures are laid out so. */
const ARCHITECTURES: readonly string[] = ['x64', 'arm64', 'riscv64', 'loong64']

/** Whether messages can be handed over in batches here. */
export const canBatch = (): boolean => ARCHITECTURES.includes(process.arch) && endianness() === 'LE'

/** Several message headers in the machine's layout, each of one piece of memory. */
class Headers {
  readonly bytes: Uint8Array
  readonly #view: DataView
  readonly #vectorsAt: number

  constructor(libc: Libc, count: number) {
    this.#vectorsAt = count * MMSGHDR_BYTES
    this.bytes = new Uint8Array(this.#vectorsAt + count * IOVEC_BYTES)
    this.#view = new DataView(this.bytes.buffer)
    const address = libc.addressOf(this.bytes)
    for (let index = 0; index < count; index++) {
      this.#putAddress(index * MMSGHDR_BYTES + VECTOR_AT, address + this.#vectorsAt + index * IOVEC_BYTES)
      this.#view.setUint32(index * MMSGHDR_BYTES + VECTOR_COUNT_AT, 1, true)
    }
  }

  setName(index: number, address: number, lengthBytes: number): void {
    this.#putAddress(index * MMSGHDR_BYTES + NAME_AT, address)
    this.#view.setUint32(index * MMSGHDR_BYTES + NAME_LENGTH_AT, lengthBytes, true)
  }

  setMessage(index: number, address: number, lengthBytes: number): void {
    const at = this.#vectorsAt + index * IOVEC_BYTES
    this.#putAddress(at, address)
    this.#view.setUint32(at + 8, lengthBytes, true)
  }

  /** How long a message is that was received. */
  lengthOf(index: number): number {
    return this.#view.getUint32(index * MMSGHDR_BYTES + LENGTH_AT, true)
  }

  #putAddress(at: number, address: number): void {
    this.#view.setUint32(at, address % 4_294_967_296, true)
    this.#view.setUint32(at + 4, Math.floor(address / 4_294_967_296), true)
  }
}

/** Takes what waits at a socket into memory of its own, several messages in one system call. */
export class ReceiveBatch {
  readonly #libc: Libc
  readonly #fd: number
  /** Messages of one call at most. */
  readonly count: number
  readonly #headers: Headers
  readonly #messages: Uint8Array
  /** The socket addresses that messages came from, see {@link nameAt}: they stay until the next {@link receive}. */
  readonly names: Uint8Array

  /**
   * @param count messages of one call at most. Memory: 66 KiB for each, of which the system gives as much as messages use.
   * @param libc must be one of a machine that {@link canBatch}
   */
  constructor(libc: Libc, fd: number, family: IpFamily, count: number) {
    this.#libc = libc
    this.#fd = fd
    this.count = count
    this.#headers = new Headers(libc, count)
    this.#messages = new Uint8Array(count * MESSAGE_STRIDE_BYTES)
    this.names = new Uint8Array(count * NAME_BYTES)
    const [messages, names] = [libc.addressOf(this.#messages), libc.addressOf(this.names)]
    for (let index = 0; index < count; index++) {
      this.#headers.setMessage(index, messages + index * MESSAGE_STRIDE_BYTES, MESSAGE_STRIDE_BYTES)
      this.#headers.setName(index, names + index * NAME_BYTES, USED_NAME_BYTES[family])
    }
  }

  /** Receives what waits. @returns how many messages; 0 when there is none, or the socket has an error */
  receive(): number {
    return Math.max(0, this.#libc.recvmmsg(this.#fd, this.#headers.bytes, this.count, MSG_DONTWAIT))
  }

  /** A message of the last {@link receive}: it stays until the next. */
  message(index: number): Uint8Array {
    const at = index * MESSAGE_STRIDE_BYTES
    return this.#messages.subarray(at, at + this.#headers.lengthOf(index))
  }

  /** Where that of a message begins. */
  nameAt(index: number): number {
    return index * NAME_BYTES
  }
}

/** Hands runs of datagrams for one address to the kernel, each run in one system call. */
export class SendBatch {
  readonly #libc: Libc
  readonly #fd: number
  readonly #headers: Headers
  /** What the headers point to. */
  readonly #name: Uint8Array
  /** Where buffers lie: they never move. */
  readonly #addresses = new WeakMap<ArrayBufferLike, number>()

  /**
   * @param name socket address in the machine's layout
   * @param count datagrams of one run at most
   */
  constructor(libc: Libc, fd: number, name: Uint8Array, count: number) {
    this.#libc = libc
    this.#fd = fd
    this.#headers = new Headers(libc, count)
    this.#name = name
    const address = libc.addressOf(name)
    for (let index = 0; index < count; index++) this.#headers.setName(index, address, this.#name.length)
  }

  /**
   * Sends the first `length` bytes of `buffer` in messages of `messageBytes` each, the last of which may be shorter.
   * @returns how many bytes the kernel has taken, a whole number of messages; fewer than all when its buffer is full or it refuses
   */
  send(buffer: Uint8Array, length: number, messageBytes: number): number {
    const from = this.#addressOf(buffer)
    let count = 0
    for (let at = 0; at < length; at += messageBytes) {
      this.#headers.setMessage(count++, from + at, Math.min(messageBytes, length - at))
    }
    const sentCount = this.#libc.sendmmsg(this.#fd, this.#headers.bytes, count, MSG_DONTWAIT)
    return sentCount <= 0 ? 0 : Math.min(length, sentCount * messageBytes)
  }

  #addressOf({ buffer, byteOffset }: Uint8Array): number {
    let address = this.#addresses.get(buffer)
    if (address === undefined) {
      address = this.#libc.addressOf(new Uint8Array(buffer))
      this.#addresses.set(buffer, address)
    }
    return address + byteOffset
  }
}
