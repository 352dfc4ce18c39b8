import { getSystemErrorName } from 'node:util'
import { SkilfishError, type ErrorCode } from '../errors.ts'
import { errnoName, systemReason } from './storage-error.ts'

type Fault = readonly [code: ErrorCode, text: string]

const NO_ROUTE: Fault = ['NO_MULTICAST_ROUTE', 'there is no route there; an interface that has one must be named']
const DENIED: Fault = ['NETWORK_DENIED', 'permission denied; a firewall rule or a missing privilege forbids it']

const FAULTS: Readonly<Record<string, Fault>> = {
  EADDRINUSE: ['PORT_IN_USE', 'another program holds the port and does not share it; it must be free'],
  ENETUNREACH: NO_ROUTE,
  ENODEV: NO_ROUTE,
  EACCES: DENIED,
  EPERM: DENIED,
  EMSGSIZE: ['PACKET_TOO_LARGE', 'the packet is too large for the way there; it must be shorter'],
}

/**
 * Send errors that pass without anyone doing anything: full queues of the kernel, a link or a neighbour that is away for now,
 * a peer that has ended (its host answers a later datagram of ours with the notice of the first).
 */
const TRANSIENT = new Set([
  'EAGAIN',
  'ENOBUFS',
  'ENOMEM',
  'ENETDOWN',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ECONNREFUSED',
  'ECONNRESET',
])

/**
 * True when a failed send may be tried again a little later. False for ENETUNREACH: at the start that is the lack of a route; a
 * driver that had sent before can take it for a link that is down for now.
 */
export function isTransientSendError(error: unknown): boolean {
  const name = errnoName(error instanceof SkilfishError ? error.cause : error)
  return name !== undefined && TRANSIENT.has(name)
}

/** The error to report when the kernel refuses something with a socket. `action` completes "cannot …". */
export function networkError(action: string, cause: unknown): SkilfishError {
  const fault = FAULTS[errnoName(cause) ?? '']
  if (fault) return new SkilfishError(fault[0], `cannot ${action}: ${fault[1]}`, { cause })
  const reason = systemReason(cause)
  return new SkilfishError('NETWORK_FAILED', `cannot ${action}: ${reason}`, { cause })
}

/** The error of a system call that returned `result`, a negated error number, in the form of Node.js's own. */
export function systemError(call: string, result: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(result)
  return Object.assign(new Error(`${call} ${code}`), { code, errno: result, syscall: call })
}
