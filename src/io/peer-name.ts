import { SocketAddress } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { IpFamily } from './group-address.ts'

/** Where a message came from, as Node.js tells it: a link-local IPv6 address with its zone. */
export interface Peer {
  readonly address: string
  readonly port: number
}

// Offsets in `struct sockaddr_in` and `struct sockaddr_in6`.
const PORT_AT = 2
const IPV4_AT = 4
const IPV6_AT = 8
const SCOPE_AT = 24
const NAME_BYTES: Readonly<Record<IpFamily, number>> = { 4: 8, 6: 28 }

/** Reads socket addresses in the layout of Linux, least work for those that come again and again. */
export class PeerName {
  readonly #family: IpFamily
  /** The last one that was read. */
  readonly #bytes: Uint8Array
  #peer: Peer = { address: '', port: 0 }
  /** Names of interfaces by their numbers: as many as the machine has. */
  readonly #zones = new Map<number, string>()

  constructor(family: IpFamily) {
    this.#family = family
    this.#bytes = new Uint8Array(NAME_BYTES[family])
  }

  /** @param names hold the address at `at` */
  read(names: Uint8Array, at: number): Peer {
    if (!this.#isLast(names, at)) {
      const name = names.subarray(at, at + this.#bytes.length)
      this.#bytes.set(name)
      const port = (name[PORT_AT]! << 8) | name[PORT_AT + 1]!
      this.#peer = { address: this.#family === 4 ? ipv4(name) : this.#ipv6(name), port }
    }
    return this.#peer
  }

  #ipv6(name: Uint8Array): string {
    const address = ipv6(name)
    const scope = new DataView(name.buffer, name.byteOffset).getUint32(SCOPE_AT, true)
    if (!/^fe[89ab]/.test(address) || scope === 0) return address
    const zone = this.#zones.get(scope) ?? interfaceName(scope)
    this.#zones.set(scope, zone)
    return `${address}%${zone}`
  }

  #isLast(names: Uint8Array, at: number): boolean {
    const last = this.#bytes
    for (let index = 0; index < last.length; index++) if (last[index] !== names[at + index]) return false
    return true
  }
}

const ipv4 = (name: Uint8Array): string => name.subarray(IPV4_AT, IPV4_AT + 4).join('.')

function ipv6(name: Uint8Array): string {
  const words = Array.from({ length: 8 }, (_, index) => {
    const at = IPV6_AT + 2 * index
    return ((name[at]! << 8) | name[at + 1]!).toString(16)
  })
  return new SocketAddress({ family: 'ipv6', address: words.join(':') }).address
}

/** The name of the interface with that number; the number itself where it has none. */
function interfaceName(index: number): string {
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    if (addresses?.some((entry) => entry.family === 'IPv6' && entry.scopeid === index)) return name
  }
  return String(index)
}

/** The number of the interface with that name, or of that number; 0 where there is none. */
export function interfaceIndex(zone: string): number {
  const scope = networkInterfaces()[zone]?.find((entry) => entry.family === 'IPv6')?.scopeid
  return scope || Number(zone) || 0
}
