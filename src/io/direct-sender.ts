import { checkRun, failClosed, type SendCallback } from './datagram-sender.ts'
import { formatEndpoint, type IpFamily } from './group-address.ts'
import type { LinuxSocket } from './linux-socket.ts'
import { networkError, systemError } from './network-error.ts'
import { interfaceIndex } from './peer-name.ts'

/**
 * Sends datagrams past Node.js, which does not hold the socket all the time (see `MessageWatch`). What the kernel does not take at
 * once fails: for feedback, which is little and is repeated.
 */
export class DirectSender {
  readonly #linux: LinuxSocket
  readonly #family: IpFamily
  /** Numbers of interfaces by their names: as many as the machine has. */
  readonly #scopes = new Map<string, number>()
  #isClosed = false

  constructor(linux: LinuxSocket, family: IpFamily) {
    this.#linux = linux
    this.#family = family
  }

  /** As `DatagramSender.send`. */
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
      return
    }
    let result = 0
    for (let at = 0; at < length && result >= 0; at += segmentBytes) {
      result = this.#sendOne(buffer.subarray(at, Math.min(at + segmentBytes, length)), address, port)
    }
    if (result >= 0) process.nextTick(done)
    else process.nextTick(done, networkError(`send to ${formatEndpoint(address, port)}`, systemError('sendto', result)))
  }

  /** Later sends fail. */
  close(): void {
    this.#isClosed = true
  }

  #sendOne(bytes: Uint8Array, address: string, port: number): number {
    const [plain = '', zone] = address.split('%')
    return this.#linux.sendTo(bytes, { address: plain, port, family: this.#family }, zone ? this.#scopeOf(zone) : 0)
  }

  #scopeOf(zone: string): number {
    const scope = this.#scopes.get(zone) ?? interfaceIndex(zone)
    this.#scopes.set(zone, scope)
    return scope
  }
}
