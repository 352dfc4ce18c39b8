import { createSocket } from 'node:dgram'
import { afterEach, vi } from 'vitest'
import type { GroupAddress } from '../../../src/io/group-address.ts'
import { resolveInterface, type NetworkInterface } from '../../../src/io/network-interface.ts'
import { openUdpSocket, type UdpSocket, type UdpSocketOptions } from '../../../src/io/udp-socket.ts'

export const SEGMENT_BYTES = 1200

const open: UdpSocket[] = []

afterEach(async () => {
  await Promise.all(open.splice(0).map((socket) => socket.close()))
  vi.unstubAllEnvs()
})

/** Closed after the test. */
export async function openSocket(options: UdpSocketOptions): Promise<UdpSocket> {
  // Hop limit 0: the packets never leave this host.
  const socket = await openUdpSocket({ ttl: 0, ...options })
  open.push(socket)
  return socket
}

/** A port that nothing on this host uses at the moment. */
export async function freePort(): Promise<number> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, resolve))
  const { port } = socket.address()
  await new Promise<void>((resolve) => socket.close(resolve))
  return port
}

export interface Setting {
  readonly group: GroupAddress
  readonly interface: NetworkInterface | undefined
}

export async function loopbackSetting(address = '239.255.83.1'): Promise<Setting> {
  return { group: { address, port: await freePort(), family: 4 }, interface: resolveInterface('127.0.0.1', 4) }
}

/** The next `count` datagrams that arrive, runs taken apart, and where the last came from. */
export async function nextDatagrams(
  socket: UdpSocket,
  count: number,
): Promise<{ datagrams: Buffer[]; from: [string, number] }> {
  const datagrams: Buffer[] = []
  return await new Promise((resolve) => {
    socket.onMessage = (bytes, { address, port }) => {
      for (let at = 0; at < bytes.length; at += SEGMENT_BYTES) {
        datagrams.push(Buffer.from(bytes.subarray(at, at + SEGMENT_BYTES)))
      }
      if (datagrams.length >= count) resolve({ datagrams, from: [address, port] })
    }
  })
}

/** Sends bytes to the group and waits for the callback. */
export const sendRun = (socket: UdpSocket, bytes: Uint8Array, segmentBytes: number = SEGMENT_BYTES): Promise<void> =>
  settled((done) => socket.sendToGroup(bytes, bytes.length, segmentBytes, done))

export const sendTo = (socket: UdpSocket, bytes: Uint8Array, address: string, port: number): Promise<void> =>
  settled((done) => socket.sendTo(bytes, bytes.length, address, port, done))

async function settled(send: (done: (error?: Error) => void) => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    send((error) => (error ? reject(error) : resolve()))
  })
}

export const text = (value: string): Uint8Array => new TextEncoder().encode(value)
