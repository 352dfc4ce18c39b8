/** Time of a machine: microseconds since any fixed moment, whole, never going back. */
export type Micros = number

/** Where a datagram came from. Machines hand it back untouched; they tell peers apart by their ids, never by address. */
export interface PeerAddress {
  readonly address: string
  readonly port: number
}

/** What {@link Machine.pollTransmit} wrote into the caller's buffer: `bytes` bytes, to be sent as datagrams of `segmentBytes` (the last may be shorter). */
export interface Transmit {
  readonly bytes: number
  readonly segmentBytes: number
  /** Left out: to the group. */
  readonly to?: PeerAddress
}

/**
 * The one surface of both protocol machines: no clock, no sockets, no timers. Things come in by `handle…`, go out by `poll…`.
 * After each `handle…` call, drain `pollEvent`, then `pollTransmit` until it returns undefined, then wait until
 * `pollTimeout` or the next input. Same inputs in the same order give the same outputs.
 */
export interface Machine<Command, Event, Stats> {
  /** One datagram, or a run of datagrams of the session's packet size back to back. `bytes` are the caller's again after the call. */
  handleDatagram(nowUs: Micros, from: PeerAddress, bytes: Uint8Array): void
  handleTimeout(nowUs: Micros): void
  handleCommand(nowUs: Micros, command: Command): void
  /** Writes the next datagram or run of equal-sized datagrams to the start of `into` (at least 65,507 bytes). */
  pollTransmit(nowUs: Micros, into: Uint8Array): Transmit | undefined
  pollEvent(): Event | undefined
  /** When to call `handleTimeout` and poll again at the latest; undefined: only on input. */
  pollTimeout(): Micros | undefined
  /** A copy of the counters. */
  stats(): Stats
}
