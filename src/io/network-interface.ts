import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { SkilfishError } from '../errors.ts'
import type { IpFamily } from './group-address.ts'

/** A network interface that is up and has an address of the family in question. */
export interface NetworkInterface {
  readonly name: string
  readonly family: IpFamily
  /** Its address, or the first of several. Without a zone. */
  readonly address: string
  /** The kernel's number of the interface, where that can be told. */
  readonly index: number | undefined
  /** Longest IP packet that it carries, bytes, where that can be told (Linux). */
  readonly mtuBytes: number | undefined
}

/**
 * Finds an interface by its name (`eth0`) or one of its addresses.
 *
 * @param nameOrAddress undefined: leave the choice to the system's routes; the result is undefined too.
 * @throws SkilfishError INTERFACE_NOT_FOUND when none matches, or the one that does has no address of this family. The message
 * lists those that would do.
 */
export function resolveInterface(nameOrAddress: string | undefined, family: IpFamily): NetworkInterface | undefined {
  if (nameOrAddress === undefined) return undefined
  const addresses = addressesOf(family)
  const wanted = nameOrAddress.toLowerCase().replace(/%.*$/, '')
  const found =
    addresses.find(({ name }) => name === nameOrAddress) ?? addresses.find(({ address }) => address === wanted)
  if (!found) throw notFound(nameOrAddress, family, addresses)
  const { name, address } = found
  return { name, family, address, index: indexOf(name), mtuBytes: readNumber(name, 'mtu') }
}

/** The zone that names `networkInterface` in an IPv6 address. */
export function zoneOf(networkInterface: NetworkInterface): string {
  // Windows takes numbers only.
  return process.platform === 'win32' ? String(networkInterface.index) : networkInterface.name
}

interface InterfaceAddress {
  readonly name: string
  readonly address: string
}

function addressesOf(family: IpFamily): InterfaceAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.filter((each) => each.family === `IPv${family}`).map(({ address }) => ({ name, address })),
  )
}

/** From Linux's table of interfaces, else from the zone of the interface's link-local address. */
function indexOf(name: string): number | undefined {
  const scopes = (networkInterfaces()[name] ?? []).map((each) => (each.family === 'IPv6' ? each.scopeid : 0))
  return readNumber(name, 'ifindex') ?? scopes.find((scope) => scope > 0)
}

function readNumber(name: string, attribute: string): number | undefined {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/${attribute}`, 'utf8'))
  } catch {
    return undefined
  }
}

/** Node.js knows no interface that is down or has no address at all; Linux's table does. */
function stateOf(given: string, family: IpFamily): string {
  if (given in networkInterfaces()) return `has no IPv${family} address`
  return readNumber(given, 'ifindex') === undefined ? 'does not exist' : 'is down, or has no address'
}

function notFound(given: string, family: IpFamily, addresses: readonly InterfaceAddress[]): SkilfishError {
  const list = addresses.map(({ name, address }) => `${name} (${address})`).join(', ')
  return new SkilfishError(
    'INTERFACE_NOT_FOUND',
    `cannot use the interface ${JSON.stringify(given)}: it ${stateOf(given, family)}; those with IPv${family} are ${list || 'none'}`,
  )
}
