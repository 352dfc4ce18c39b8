import type { GroupAddress, IpFamily } from './group-address.ts'
import type { Libc } from './libc.ts'
import { canBatch, MSG_DONTWAIT, ReceiveBatch, SendBatch } from './message-batch.ts'
import { systemError } from './network-error.ts'

// Numbers of Linux's interface to programs (uapi headers), the same on every architecture that Node.js runs on.
const AF_INET = 2
const AF_INET6 = 10
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0x8_0000
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_SNDBUFFORCE = 32
const SO_RCVBUFFORCE = 33
const SO_MEMINFO = 55
const IPPROTO_IPV6 = 41
const IPV6_MULTICAST_HOPS = 18
const IPV6_MULTICAST_LOOP = 19
const IPV6_V6ONLY = 26
const SOL_UDP = 17
const UDP_SEGMENT = 103
const UDP_GRO = 104
const F_DUPFD_CLOEXEC = 1030

/** Words of SO_MEMINFO (`SK_MEMINFO_…` in linux/sock_diag.h). */
const MEMINFO_WORDS = 9
const MEMINFO_QUEUED = 0
const MEMINFO_CAPACITY = 1
const MEMINFO_DROPPED = 8

/** Fill of a socket's receive queue. */
export interface ReceiveQueue {
  /** Memory that waiting packets take, the kernel's bookkeeping included, bytes. */
  readonly queuedBytes: number
  /** The bound on `queuedBytes`: packets that come beyond it are dropped. */
  readonly capacityBytes: number
  /** Packets dropped since the socket was opened, modulo 2^32. */
  readonly droppedCount: number
}

/**
 * A bound UDP socket made outside of Node.js, so that its descriptor is known and the options that Node.js lacks can be set.
 * Node.js gets a {@link duplicate}: the socket lives until all of them and this one are closed. Use none of the methods after that.
 */
export class LinuxSocket {
  readonly fd: number
  readonly #libc: Libc
  readonly #value = new Int32Array(1)
  readonly #valueBytes: Uint8Array = new Uint8Array(this.#value.buffer)

  private constructor(libc: Libc, fd: number) {
    this.#libc = libc
    this.fd = fd
  }

  /**
   * Binds to an address and port, or to a free port of the wildcard address.
   *
   * @param isShared whether other sockets of this host may be bound to the same, each getting every multicast packet.
   * @param scopeIndex number of the interface to which a group of link-local scope belongs; 0 for any other group.
   * @throws an error with the `code` of the system call that failed.
   */
  static open(
    libc: Libc,
    family: IpFamily,
    bound: GroupAddress | undefined,
    isShared: boolean,
    scopeIndex: number,
  ): LinuxSocket {
    const fd = libc.socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)
    if (fd < 0) throw systemError('socket', fd)
    const socket = new LinuxSocket(libc, fd)
    try {
      if (isShared) socket.#require('setsockopt', socket.#set(SOL_SOCKET, SO_REUSEADDR, 1))
      if (family === 6) socket.#require('setsockopt', socket.#set(IPPROTO_IPV6, IPV6_V6ONLY, 1))
      socket.#require('bind', libc.bind(fd, socketAddress(family, bound, scopeIndex)))
      return socket
    } catch (error) {
      socket.close()
      throw error
    }
  }

  /**
   * For an IPv6 socket: the hop limit of packets to groups, and whether receivers on this host get them.
   *
   * @throws an error with the `code` of the system call that failed.
   */
  setIpv6Multicast(hopLimit: number, loopback: boolean): void {
    this.#require('setsockopt', this.#set(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hopLimit))
    this.#require('setsockopt', this.#set(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, Number(loopback)))
  }

  /** Receives runs of equal-sized datagrams in one piece. Returns 0 or a negated error number. */
  enableCoalescing(): number {
    return this.#set(SOL_UDP, UDP_GRO, 1)
  }

  /**
   * Has every longer send cut into datagrams of `segmentBytes` (the last may be shorter); 0 ends that. Returns 0 or a negated
   * error number.
   */
  setSegmentBytes(segmentBytes: number): number {
    return this.#set(SOL_UDP, UDP_SEGMENT, segmentBytes)
  }

  /** For receiving `count` messages in one call; undefined where that cannot be. */
  receiveBatch(family: IpFamily, count: number): ReceiveBatch | undefined {
    return canBatch() ? new ReceiveBatch(this.#libc, this.fd, family, count) : undefined
  }

  /** For sending up to `count` datagrams to one address in one call; undefined where that cannot be. */
  sendBatch(to: GroupAddress, count: number): SendBatch | undefined {
    if (!canBatch()) return undefined
    return new SendBatch(this.#libc, this.fd, socketAddress(to.family, to, 0), count)
  }

  /** Another descriptor of the socket, the caller's to close. @throws an error with the `code` of the system call that failed */
  duplicate(): number {
    const fd = this.#libc.fcntl(this.fd, F_DUPFD_CLOEXEC, 0)
    if (fd < 0) throw systemError('fcntl', fd)
    return fd
  }

  /**
   * Sends one datagram without waiting.
   * @param scopeIndex number of the interface to which a link-local address belongs; 0 for any other
   * @returns the number of its bytes, or a negated error number
   */
  sendTo(bytes: Uint8Array, to: GroupAddress, scopeIndex: number): number {
    return this.#libc.sendto(this.fd, bytes, MSG_DONTWAIT, socketAddress(to.family, to, scopeIndex))
  }

  /** Sets the size of the receive buffer beyond the system's limit; false without the privilege. */
  forceRecvBuffer(bytes: number): boolean {
    return this.#set(SOL_SOCKET, SO_RCVBUFFORCE, bytes) === 0
  }

  /** The same for the send buffer. */
  forceSendBuffer(bytes: number): boolean {
    return this.#set(SOL_SOCKET, SO_SNDBUFFORCE, bytes) === 0
  }

  /** undefined where the kernel does not tell (before Linux 4.12). */
  receiveQueue(): ReceiveQueue | undefined {
    const words = new Uint32Array(MEMINFO_WORDS)
    const length = this.#libc.getsockopt(this.fd, SOL_SOCKET, SO_MEMINFO, new Uint8Array(words.buffer))
    if (length < words.byteLength) return undefined
    return {
      queuedBytes: words[MEMINFO_QUEUED]!,
      capacityBytes: words[MEMINFO_CAPACITY]!,
      droppedCount: words[MEMINFO_DROPPED]!,
    }
  }

  close(): void {
    this.#libc.close(this.fd)
  }

  #set(level: number, option: number, value: number): number {
    this.#value[0] = value
    return this.#libc.setsockopt(this.fd, level, option, this.#valueBytes)
  }

  #require(call: string, result: number): void {
    if (result < 0) throw systemError(call, result)
  }
}

/** `struct sockaddr_in` or `struct sockaddr_in6`: port and address in network order, the rest in the machine's. */
function socketAddress(family: IpFamily, group: GroupAddress | undefined, scopeIndex: number): Uint8Array {
  const bytes = new Uint8Array(family === 4 ? 16 : 28)
  new Uint16Array(bytes.buffer)[0] = family === 4 ? AF_INET : AF_INET6
  if (!group) return bytes
  new DataView(bytes.buffer).setUint16(2, group.port)
  if (family === 4) {
    bytes.set(group.address.split('.').map(Number), 4)
  } else {
    bytes.set(ipv6Bytes(group.address), 8)
    new Uint32Array(bytes.buffer)[6] = scopeIndex
  }
  return bytes
}

/** The 16 bytes of a canonical IPv6 address without a dotted part, which no address has that is in use. */
function ipv6Bytes(address: string): Uint8Array {
  const [head = '', tail = ''] = address.split('::')
  const words = (part: string): number[] => (part === '' ? [] : part.split(':').map((word) => parseInt(word, 16)))
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  words(head).forEach((word, index) => view.setUint16(2 * index, word))
  words(tail).forEach((word, index, { length }) => view.setUint16(16 - 2 * (length - index), word))
  return bytes
}
