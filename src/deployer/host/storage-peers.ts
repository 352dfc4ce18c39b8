import { lookup } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { BlockList, isIPv6 } from 'node:net'
import type { RemoteImage } from '../host-protocol.ts'
import type { Peer } from './qemu-process.ts'

/**
 * Ports of Ceph's daemons, whatever their addresses: those of monitors, of both protocols, and what all others choose theirs from. Source:
 * Ceph's Network Configuration Reference, and `ms_bind_port_min` and `ms_bind_port_max` in its src/common/options/global.yaml.in.
 */
const MONITOR_PORTS: readonly number[] = [3300, 6789]
const FIRST_DAEMON_PORT = 6800
const LAST_DAEMON_PORT = 7568

/**
 * Tells which connections are to the storage: those to an NBD server's address and port; of Ceph, those to any port of the monitors that
 * its configuration names, and those to the ports that Ceph's daemons have by default, anywhere. What is not counted: daemons of Ceph that
 * are no monitors and were given ports of their own. A guest's connections count too where QEMU itself makes them (`-netdev user`).
 */
export async function storagePeers(remote: RemoteImage | undefined): Promise<(peer: Peer) => boolean> {
  const place = nbdPlace(remote)
  if (place !== undefined) {
    const server = await addressesOf([place.host])
    return (peer) => peer.port === place.port && server(peer.address)
  }
  if (remote?.driver !== 'rbd') return () => false
  const text = await readFile(remote.conf ?? '/etc/ceph/ceph.conf', 'utf8').catch(() => '')
  const monitors = await addressesOf(monitorHosts(text))
  return ({ address, port }) =>
    MONITOR_PORTS.includes(port) || (port >= FIRST_DAEMON_PORT && port <= LAST_DAEMON_PORT) || monitors(address)
}

/** Where the server of an image is that is read over NBD and TCP; undefined for others. */
export function nbdPlace(
  remote: RemoteImage | undefined,
): { readonly host: string; readonly port: number; readonly exportName: string } | undefined {
  if (remote?.driver !== 'nbd' || remote.server.type !== 'inet') return undefined
  const { host, port } = remote.server
  return { host, port: Number(port), exportName: remote.export ?? '' }
}

/**
 * Names and addresses of the monitors in a configuration of Ceph: `mon_host`, a list with commas or spaces, an entry a name or an address,
 * with or without a port, or several of these with their protocols, in brackets: `[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]`. Addresses of
 * IPv6 are in brackets of their own where a port follows. The number behind a slash tells processes at one address apart.
 */
export function monitorHosts(conf: string): readonly string[] {
  const lines = conf.replace(/\\\n/g, ' ').split('\n')
  // Ceph takes spaces, underscores and hyphens in names of options for the same.
  const values = lines.flatMap((line) => /^\s*mon[ _-]+host\s*=([^#;]*)/.exec(line)?.[1] ?? [])
  const entry = /(?:\b(?:v[12]|any):)?(\[[0-9a-f:.]+\]|[^\s,"[\]]+)/gi
  const hosts = values.flatMap((value) => [...value.matchAll(entry)].map(([, word]) => hostOf(word!)))
  return [...new Set(hosts.filter((host) => host !== ''))]
}

/** Without brackets, number and port. */
function hostOf(word: string): string {
  const bare = word.replace(/[[\]]/g, '').replace(/\/\d+$/, '')
  return isIPv6(bare) ? bare : bare.replace(/:\d+$/, '')
}

/** @returns whether an address is one of theirs, in any notation. A name that cannot be resolved has none. */
async function addressesOf(hosts: readonly string[]): Promise<(address: string) => boolean> {
  const known = new BlockList()
  const found = await Promise.all(hosts.map((host) => lookup(host, { all: true }).catch(() => [])))
  for (const { address, family } of found.flat()) known.addAddress(address, familyOf(family === 6))
  return (address) => known.check(address, familyOf(isIPv6(address)))
}

const familyOf = (isVersion6: boolean): 'ipv4' | 'ipv6' => (isVersion6 ? 'ipv6' : 'ipv4')
