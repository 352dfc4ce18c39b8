import { isIPv4, isIPv6, SocketAddress } from 'node:net'
import { SkilfishError } from '../errors.ts'

/** Version of the Internet protocol. */
export type IpFamily = 4 | 6

/** A group: a multicast address and the UDP port that its receivers are bound to. */
export interface GroupAddress {
  /** A multicast address in canonical text, without a zone. */
  readonly address: string
  /** 1 to 65,535. */
  readonly port: number
  readonly family: IpFamily
}

/**
 * Reads `ADDRESS` or `ADDRESS:PORT`; an IPv6 address that is followed by a port stands in brackets (`[ff15::1]:9000`).
 *
 * @param defaultPort the port where `text` names none.
 * @throws SkilfishError OPTION_INVALID when `text` has no such form, the address is not multicast (224.0.0.0/4, ff00::/8) or the
 * port is not 1 to 65,535.
 */
export function parseGroup(text: string, defaultPort: number): GroupAddress {
  const { address, port = String(defaultPort) } = split(text)
  const invalid = (why: string): SkilfishError =>
    new SkilfishError('OPTION_INVALID', `cannot use ${JSON.stringify(text)} as the group: ${why}`)

  if (address.includes('%')) throw invalid('a zone is not part of a group; name the interface by its own option')
  const family = isIPv4(address) ? 4 : isIPv6(address) ? 6 : undefined
  if (family === undefined) throw invalid('it must be ADDRESS or ADDRESS:PORT, as 239.1.2.3:9000 or [ff15::1]:9000')
  if (!isMulticast(address, family)) {
    throw invalid(`${address} is not a multicast address; it must be in ${family === 4 ? '224.0.0.0/4' : 'ff00::/8'}`)
  }
  if (!/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535) {
    throw invalid(`the port is ${JSON.stringify(port)}; it must be 1 to 65535`)
  }
  return { address: canonical(address, family), port: Number(port), family }
}

/** The group as {@link parseGroup} reads it, port included; also fits any other address and port. */
export function formatEndpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** True for an IPv6 group that means something on one link (or one host) only, so that its interface must be named. */
export function needsInterface(group: GroupAddress): boolean {
  // The fourth hexadecimal digit is the scope: 1 interface-local, 2 link-local (RFC 4291, section 2.7).
  return group.family === 6 && /^ff[0-9a-f][12]:/.test(group.address)
}

function split(text: string): { address: string; port?: string } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text)
  if (bracketed) return withPort(bracketed[1]!, bracketed[2])
  const colon = text.indexOf(':')
  const isOneColon = colon >= 0 && colon === text.lastIndexOf(':')
  return isOneColon ? withPort(text.slice(0, colon), text.slice(colon + 1)) : { address: text }
}

const withPort = (address: string, port: string | undefined): { address: string; port?: string } =>
  port === undefined ? { address } : { address, port }

function isMulticast(address: string, family: IpFamily): boolean {
  if (family === 6) return /^ff[0-9a-f]{2}:/i.test(address)
  const first = Number(address.split('.')[0])
  return first >= 224 && first <= 239
}

const canonical = (address: string, family: IpFamily): string =>
  new SocketAddress({ address, family: family === 4 ? 'ipv4' : 'ipv6' }).address
