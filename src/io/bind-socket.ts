import { closeSync } from 'node:fs'
import { createSocket, type Socket, type SocketOptions } from 'node:dgram'
import { needsInterface, type GroupAddress, type IpFamily } from './group-address.ts'
import { NO_FFI_VARIABLE } from './ffi.ts'
import { loadLibc } from './libc.ts'
import { LinuxSocket } from './linux-socket.ts'
import { zoneOf, type NetworkInterface } from './network-interface.ts'

/** Which end of a session a socket is for, and how it is to be bound. */
export interface BindOptions {
  readonly group: GroupAddress
  /**
   * A sender is bound to a free port, sends to the group and gets the receivers' feedback. A receiver is bound to the group
   * and its port, which other receivers on this host may share (each gets every packet), and sends feedback.
   */
  readonly role: 'sender' | 'receiver'
  /** Where the group is sent to or joined, of the group's family; undefined: as the system's routes have it. */
  readonly interface?: NetworkInterface | undefined
  /** Port to which a sender is bound, 1 to 65,535. Default: one that is free. */
  readonly feedbackPort?: number
  /** `off`: plain sends and receives even where the kernel could do better. Default `auto`. */
  readonly offload?: 'auto' | 'off'
}

export interface BoundSocket {
  readonly socket: Socket
  /** The same socket by a descriptor of its own, where there is a foreign function interface: the caller's to close, too. */
  readonly linux?: LinuxSocket
  /** Why there is no `linux`, or why it is not to be used for offload. */
  readonly note?: string
}

/** Makes a socket for one end of a session. @throws an error with the `code` of the system call that failed */
export async function bindSocket(options: BindOptions): Promise<BoundSocket> {
  const { group, role, interface: networkInterface } = options
  const isReceiver = role === 'receiver'
  // Bound to the group, a socket does not get what is sent to other groups on its port. Only Linux is known to allow it.
  const bound = isReceiver ? group : wildcard(group.family, options.feedbackPort)
  const off = options.offload === 'off' ? { note: 'offload is turned off' } : {}
  const libc = loadLibc()
  if (libc) {
    const scopeIndex = needsInterface(group) ? (networkInterface?.index ?? 0) : 0
    const linux = LinuxSocket.open(libc, group.family, bound, isReceiver, scopeIndex)
    return { socket: adoptFirst(linux, group.family), linux, ...off }
  }
  const socket = createSocket(socketOptions(group.family, isReceiver))
  await whenBound(socket, () => {
    const zone = networkInterface && needsInterface(group) ? `%${zoneOf(networkInterface)}` : ''
    const address = isReceiver && process.platform === 'linux' ? { address: group.address + zone } : {}
    socket.bind({ ...address, port: bound?.port ?? 0, exclusive: true })
  })
  return { socket, note: missingFfi(), ...off }
}

const wildcard = (family: IpFamily, port: number | undefined): GroupAddress | undefined =>
  port === undefined ? undefined : { address: family === 4 ? '0.0.0.0' : '::', port, family }

/** Has Node.js listen to the socket, by a descriptor of its own. @throws an error with the `code` of what failed */
export function adopt(linux: LinuxSocket, family: IpFamily): Socket {
  const fd = linux.duplicate()
  const socket = createSocket(socketOptions(family, false))
  try {
    // Done when it returns, with a descriptor.
    return socket.bind({ fd, exclusive: true })
  } catch (error) {
    socket.close()
    closeSync(fd)
    throw error
  }
}

function adoptFirst(linux: LinuxSocket, family: IpFamily): Socket {
  try {
    return adopt(linux, family)
  } catch (error) {
    linux.close()
    throw error
  }
}

async function whenBound(socket: Socket, bind: () => void): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('listening', resolve).once('error', reject)
      bind()
    })
  } catch (error) {
    socket.close()
    throw error
  }
}

const socketOptions = (family: IpFamily, reuseAddr: boolean): SocketOptions => ({
  type: family === 4 ? 'udp4' : 'udp6',
  reuseAddr,
  ipv6Only: family === 6,
  // Addresses here are numeric. An answer at once has the packet leave within the call of `send`.
  lookup: (address, _options, callback) => callback(null, address, family),
})

function missingFfi(): string {
  if (process.platform !== 'linux') return 'only Linux has it'
  return process.env[NO_FFI_VARIABLE] ? `${NO_FFI_VARIABLE} is set` : 'the optional package koffi cannot be loaded'
}
