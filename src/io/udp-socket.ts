import type { Socket } from 'node:dgram'
import { SkilfishError } from '../errors.ts'
import { adopt, bindSocket, type BindOptions } from './bind-socket.ts'
import { DatagramSender, MAX_SEGMENT_COUNT, type SendCallback } from './datagram-sender.ts'
import { DirectSender } from './direct-sender.ts'
import { formatEndpoint, needsInterface, type GroupAddress } from './group-address.ts'
import type { LinuxSocket, ReceiveQueue } from './linux-socket.ts'
import type { ReceiveBatch } from './message-batch.ts'
import { MessageWatch } from './message-watch.ts'
import { networkError } from './network-error.ts'
import { zoneOf, type NetworkInterface } from './network-interface.ts'
import { PeerName, type Peer } from './peer-name.ts'

/** Receive buffer to ask for: some 20 ms of a 400 MiB/s stream while the receiver is busy with something else. Our choice. */
const DEFAULT_RECV_BUFFER_BYTES = 8_388_608

/**
 * Messages that one system call takes, runs of datagrams or single ones; how many bytes may come so before the event loop has its turn,
 * some milliseconds; and what a message counts at least, since short ones take time too. Ours.
 */
const RUNS_PER_CALL = 8
const DATAGRAMS_PER_CALL = 64
const BYTES_AT_ONCE = 2_097_152
const LEAST_MESSAGE_BYTES = 1024

/**
 * Smallest receive buffer with which messages may wait for some milliseconds until they are looked for, bytes: those of 500 MB/s, packets
 * of 1500 bytes each taking twice as much. Ours.
 */
const LOOKING_BUFFER_BYTES = 4_194_304

/** Send buffer to ask for: keeps the device busy from one timer of the sender to the next. Our choice. */
const DEFAULT_SEND_BUFFER_BYTES = 4_194_304

export interface UdpSocketOptions extends BindOptions {
  /** Routers that packets to the group may pass, plus one: 1 (the default) stays on the link. 0 to 255. */
  readonly ttl?: number
  /**
   * Whether receivers on this host get what a sender on this host sends to the group. Default true. Without effect on the
   * loopback interface, which has no other receivers.
   */
  readonly loopback?: boolean
  /** Receive buffer to ask the kernel for, bytes. Default 8 MiB. */
  readonly recvBufferBytes?: number
  /** Send buffer to ask the kernel for, bytes. Default 4 MiB. */
  readonly sendBufferBytes?: number
}

/** What the kernel gave. */
export interface UdpSocketFacts {
  /** A sender's runs leave in one system call (UDP_SEGMENT); a receiver gets runs in one message (UDP_GRO). */
  readonly offload: boolean
  /** Why `offload` is false; undefined when it is true. */
  readonly offloadNote: string | undefined
  /** A system call takes many runs or single messages, past Node.js (recvmmsg, sendmmsg); false without an FFI. */
  readonly batches: boolean
  /** Sizes of the buffers, bytes, in the measure in which they are asked for: Linux sets twice that aside. */
  readonly recvBufferBytes: number
  readonly sendBufferBytes: number
}

/**
 * Takes one datagram or, with offload at a receiver, several of one sender back to back: all of one length but the last, which
 * may be shorter. `bytes` are lent for the time of the call.
 */
export type MessageHandler = (bytes: Uint8Array, from: Peer) => void

/**
 * Opens a socket for one end of a session: bound, joined (receiver), its buffers and options set.
 *
 * @throws SkilfishError PORT_IN_USE, NO_MULTICAST_ROUTE, NETWORK_DENIED or NETWORK_FAILED when the system refuses, OPTION_INVALID
 * when the group means nothing without an interface.
 * @throws RangeError when group and interface are of different families.
 */
export async function openUdpSocket(options: UdpSocketOptions): Promise<UdpSocket> {
  const { group, interface: networkInterface } = options
  if (networkInterface && networkInterface.family !== group.family) {
    throw new RangeError(
      `interface must have the group's family: expected ${group.family}, got ${networkInterface.family}`,
    )
  }
  if (!networkInterface && needsInterface(group)) {
    const label = formatEndpoint(group.address, group.port)
    throw new SkilfishError(
      'OPTION_INVALID',
      `cannot use the group ${label}: it is local to a link; name the interface`,
    )
  }
  try {
    const { socket, linux, note } = await bindSocket(options)
    try {
      return new UdpSocket(socket, linux, note, options)
    } catch (error) {
      socket.close()
      linux?.close()
      throw error
    }
  } catch (error) {
    throw networkError(attempt(options), error)
  }
}

/** One end's socket. Made by {@link openUdpSocket}. */
export class UdpSocket {
  /** Called with everything that arrives. Replace it to listen; until then messages are dropped. */
  onMessage: MessageHandler = ignore
  /** Called after one or more of {@link onMessage}, when all that waited at the moment has been handed out. */
  onBatchEnd: () => void = ignore
  /** Where the socket is bound: a receiver on Linux to the group, all others to the wildcard address. */
  readonly address: { readonly address: string; readonly port: number }
  readonly #linux: LinuxSocket | undefined
  readonly #watch: MessageWatch
  readonly #sender: DatagramSender | DirectSender
  /** The same, if it can send runs. */
  readonly #runs: DatagramSender | undefined
  readonly #batch: ReceiveBatch | undefined
  readonly #peer: PeerName
  /** What may still come before the event loop has its turn. */
  #bytesLeft = BYTES_AT_ONCE
  readonly #group: GroupAddress
  readonly #coalesces: boolean
  readonly #note: string | undefined
  readonly #recvBufferBytes: number
  readonly #sendBufferBytes: number
  #closing: Promise<void> | undefined

  /**
   * Takes over a bound socket, with `linux` the same socket's descriptor, and makes it ready for its role.
   *
   * @param note why there is no `linux`, or why it is not to be used for offload.
   */
  constructor(socket: Socket, linux: LinuxSocket | undefined, note: string | undefined, options: UdpSocketOptions) {
    const { address, port } = socket.address()
    this.address = { address, port }
    this.#linux = linux
    this.#group = options.group
    growBuffers(socket, linux, options)
    this.#recvBufferBytes = asAskedFor(socket.getRecvBufferSize())
    this.#sendBufferBytes = asAskedFor(socket.getSendBufferSize())

    const usable = note === undefined ? linux : undefined
    const isSender = options.role === 'sender'
    const probe = (isSender ? usable?.setSegmentBytes(0) : usable?.enableCoalescing()) ?? 0
    const offloads = usable !== undefined && probe === 0
    this.#note = probe === 0 ? note : 'the kernel lacks the option'
    this.#coalesces = offloads && !isSender
    const { family } = options.group
    this.#peer = new PeerName(family)
    if (!isSender) this.#batch = linux?.receiveBatch(family, this.#coalesces ? RUNS_PER_CALL : DATAGRAMS_PER_CALL)
    const mayLook = this.#batch !== undefined && this.#recvBufferBytes >= LOOKING_BUFFER_BYTES
    if (linux && mayLook) {
      this.#sender = new DirectSender(linux, family)
    } else {
      const setSegmentBytes = (segmentBytes: number): number => usable!.setSegmentBytes(segmentBytes)
      const sendBatch = isSender ? linux?.sendBatch(options.group, MAX_SEGMENT_COUNT) : undefined
      const segmenter = offloads && isSender ? setSegmentBytes : undefined
      this.#sender = this.#runs = new DatagramSender(socket, family, segmenter, sendBatch)
    }
    this.#watch = new MessageWatch(linux && mayLook ? () => adopt(linux, family) : undefined, {
      onFirst: (bytes, from) => {
        this.onMessage(bytes, from)
        this.#receiveWaiting()
        this.onBatchEnd()
      },
      onLook: () => {
        const found = this.#receiveWaiting()
        if (found.bytes > 0) this.onBatchEnd()
        return found
      },
    })
    this.#watch.listen(socket)
    if (isSender) prepareSending(socket, linux, options)
    else socket.addMembership(options.group.address, multicastInterface(options.interface))
  }

  /** What the kernel gave. `offload` turns false when the kernel or the device refuses to segment the first run. */
  get facts(): UdpSocketFacts {
    return {
      offload: this.#coalesces || this.#runs?.isSegmenting === true,
      offloadNote: this.#runs?.refusal ?? this.#note,
      batches: this.#batch !== undefined || this.#runs?.sendsNow === true,
      recvBufferBytes: this.#recvBufferBytes,
      sendBufferBytes: this.#sendBufferBytes,
    }
  }

  /**
   * Sends the first `length` bytes of `buffer` to the group as datagrams of `segmentBytes` each; the last may be shorter.
   * `buffer` is lent until `done` is called, which happens once, after this call has returned.
   *
   * `done` gets a SkilfishError PACKET_TOO_LARGE, NO_MULTICAST_ROUTE, NETWORK_DENIED or NETWORK_FAILED when the system refused
   * (a part of) the run. See `isTransientSendError` for those worth another try; such a try may send some datagrams twice.
   *
   * @throws RangeError when the run is empty, longer than its buffer, than 64 datagrams or than the longest one.
   */
  sendToGroup(buffer: Uint8Array, length: number, segmentBytes: number, done: SendCallback): void {
    this.#sender.send(buffer, length, segmentBytes, this.#group.address, this.#group.port, done)
  }

  /**
   * The same at once, where the kernel takes it. `buffer` is lent for the time of the call.
   * @returns how many of the bytes it has taken, a whole number of datagrams; what is left, for whatever reason, is for
   * {@link sendToGroup}
   * @throws RangeError as {@link sendToGroup}
   */
  sendToGroupNow(buffer: Uint8Array, length: number, segmentBytes: number): number {
    return this.#runs?.sendNow(buffer, length, segmentBytes) ?? 0
  }

  /** Sends one datagram to an IP address as a message handler gets it. Lending, `done` and errors as {@link sendToGroup}. */
  sendTo(buffer: Uint8Array, length: number, address: string, port: number, done: SendCallback): void {
    this.#sender.send(buffer, length, length, address, port, done)
  }

  /** Fill of the kernel's receive queue; undefined where it cannot be told (no FFI), or after `close`. */
  receiveQueue(): ReceiveQueue | undefined {
    return this.#closing ? undefined : this.#linux?.receiveQueue()
  }

  /** Takes what waits past Node.js, to which each message costs some 15 µs: many in a call. */
  #receiveWaiting(): { readonly bytes: number; readonly hasMore: boolean } {
    const batch = this.#batch
    let total = 0
    // Whoever is handed a message may close the socket.
    const isOpen = (): boolean => this.#closing === undefined
    while (batch !== undefined && this.#bytesLeft > 0 && isOpen()) {
      const count = batch.receive()
      if (count > 0 && this.#bytesLeft === BYTES_AT_ONCE) setImmediate(this.#allowMore)
      for (let index = 0; index < count && isOpen(); index++) {
        const bytes = batch.message(index)
        total += Math.max(bytes.length, LEAST_MESSAGE_BYTES)
        this.#bytesLeft -= Math.max(bytes.length, LEAST_MESSAGE_BYTES)
        this.onMessage(bytes, this.#peer.read(batch.names, batch.nameAt(index)))
      }
      if (count < batch.count) return { bytes: total, hasMore: false }
    }
    return { bytes: total, hasMore: true }
  }

  readonly #allowMore = (): void => {
    this.#bytesLeft = BYTES_AT_ONCE
  }

  /** Leaves the group and frees the port. Sends under way are dropped and end with an error. */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#sender.close()
      this.#watch.close(resolve)
      this.#linux?.close()
    })
    return this.#closing
  }
}

/** What was attempted, to go after "cannot". */
function attempt({ group, role, feedbackPort }: UdpSocketOptions): string {
  const label = formatEndpoint(group.address, group.port)
  if (role === 'receiver') return `join the group ${label}`
  return feedbackPort === undefined ? `open a socket for the group ${label}` : `open the feedback port ${feedbackPort}`
}

function prepareSending(socket: Socket, linux: LinuxSocket | undefined, options: UdpSocketOptions): void {
  const { ttl = 1, loopback = true } = options
  const outgoing = multicastInterface(options.interface)
  if (outgoing !== undefined) socket.setMulticastInterface(outgoing)
  if (linux && options.group.family === 6) {
    // dgram takes a socket that it did not bind itself for IPv4 in these two: they would succeed without effect.
    linux.setIpv6Multicast(ttl, loopback)
  } else {
    socket.setMulticastTTL(ttl)
    socket.setMulticastLoopback(loopback)
  }
}

/** As the multicast methods of dgram name an interface. */
function multicastInterface(networkInterface: NetworkInterface | undefined): string | undefined {
  if (!networkInterface) return undefined
  return networkInterface.family === 4 ? networkInterface.address : `::%${zoneOf(networkInterface)}`
}

function growBuffers(socket: Socket, linux: LinuxSocket | undefined, options: UdpSocketOptions): void {
  const recvBytes = options.recvBufferBytes ?? DEFAULT_RECV_BUFFER_BYTES
  const sendBytes = options.sendBufferBytes ?? DEFAULT_SEND_BUFFER_BYTES
  if (!linux?.forceRecvBuffer(recvBytes)) tryTo(() => socket.setRecvBufferSize(recvBytes))
  if (!linux?.forceSendBuffer(sendBytes)) tryTo(() => socket.setSendBufferSize(sendBytes))
}

/** Linux cuts a wish to its limit. Other systems refuse it, and the buffer stays as it is: slower, never wrong. */
function tryTo(grow: () => void): void {
  try {
    grow()
  } catch {
    // The facts tell what there is.
  }
}

const asAskedFor = (bytes: number): number => (process.platform === 'linux' ? bytes / 2 : bytes)

const ignore = (): void => undefined
