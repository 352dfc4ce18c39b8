export * from './libc.ts'
export { openSource } from './open-source.ts'
export { isIncompleteTarget } from './incomplete-stamp.ts'
export { openSink } from './open-sink.ts'
export { openSpool, type Spool } from './spool.ts'
export type { SinkOptions } from './target-file.ts'
export { monotonicUs } from './clock.ts'
export { MachinePump } from './pump.ts'
export { parseGroup, type GroupAddress, type IpFamily } from './group-address.ts'
export type { ReceiveQueue } from './linux-socket.ts'
export { isTransientSendError } from './network-error.ts'
export { resolveInterface, type NetworkInterface } from './network-interface.ts'
export {
  openUdpSocket,
  type MessageHandler,
  type UdpSocket,
  type UdpSocketFacts,
  type UdpSocketOptions,
} from './udp-socket.ts'
export type { SendCallback } from './datagram-sender.ts'
