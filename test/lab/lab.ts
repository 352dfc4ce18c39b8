import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { COMMAND_ENVIRONMENT, missingPackages, runCommand, type Packages } from './command.ts'
import { namespacePrefix, removeNamespaces, removeStaleNamespaces } from './namespaces.ts'
import { freePackets } from './free-packets.ts'
import { configure, ethtool, ip, runIn } from './network-commands.ts'
import { burstMatch, PacketLosses, portOf, randomMatch } from './packet-losses.ts'

export interface LabOptions {
  /** How many hosts there are beside the sender's, 1 to 200. */
  readonly receiverCount: number
  /** MTU of every link in bytes, 1280 (the least that IPv6 takes) to 65,535; 1500 unless given. */
  readonly mtuBytes?: number
  /** Whether this machine itself, outside all namespaces, is on the bridge too: see {@link Lab.machine}. Default false. */
  readonly isReachable?: boolean
}

/** How this machine is joined to a lab. */
export interface LabMachine {
  readonly interfaceName: string
  readonly ipv4: string
}

/** One host: a network namespace with loopback and one Ethernet interface, `eth0`, and no way out of the lab. */
export interface LabHost {
  /** 0 for the sender's host, then the receivers'. */
  readonly index: number
  /** Its network namespace, for `ip netns exec`. */
  readonly namespace: string
  readonly ipv4: string
  readonly ipv6: string
}

/** What has passed a host since the lab was built. Bytes are those of Ethernet frames without their checksum. */
export interface HostCounters {
  readonly sentBytes: number
  readonly sentPacketCount: number
  readonly receivedBytes: number
  readonly receivedPacketCount: number
  /** Packets towards this host that {@link Lab.loss} and {@link Lab.burstLoss} took. */
  readonly lostPacketCount: number
  /** Datagrams that reached the host and found the socket's buffer full. */
  readonly socketDropCount: number
}

/** What a lab needs. */
export const LAB_PACKAGES: Packages = { iproute2: ['ip', 'tc'], ethtool: ['ethtool'], nftables: ['nft'] }

/** Bits of the capability sets in `/proc/PID/status`. Source: linux/capability.h. */
const CAPABILITIES = { CAP_NET_ADMIN: 12n, CAP_SYS_ADMIN: 21n }

/** How long new links may take to come up, milliseconds. */
const LINK_TIMEOUT_MS = 10_000

/** Labs of this process that are up, so that none outlives it. */
const standing = new Set<Lab>()
let isGuarded = false

/**
 * Several hosts on one machine: network namespaces joined by a bridge, the sender's being host 0. Needs root.
 *
 * The links behave like wires: a super-packet of UDP segmentation offload is split before it leaves its host, so that each
 * packet crosses the bridge, and may be lost there, by itself; receiving hosts may coalesce again (GRO), as network cards do.
 *
 * Labs of several processes, and several labs of one, do not meet. Whatever ends this process except SIGKILL takes its labs
 * down; those of killed processes are removed by the next {@link Lab.up}.
 */
export class Lab {
  readonly hosts: readonly LabHost[]
  readonly mtuBytes: number
  /** Defined in a lab that {@link LabOptions.isReachable}. Such labs have addresses that differ from each other's. */
  readonly machine: LabMachine | undefined
  readonly #bridge: string
  readonly #losses: PacketLosses
  #areFree = false

  private constructor(receiverCount: number, mtuBytes: number, isReachable: boolean) {
    const prefix = namespacePrefix()
    const network = isReachable ? freeNetwork() : 0
    const interfaceName = `lab-${prefix.slice(prefix.lastIndexOf('-') + 1)}`
    this.machine = isReachable ? { interfaceName, ipv4: `10.77.${network}.254` } : undefined
    this.mtuBytes = mtuBytes
    this.#bridge = `${prefix}-bridge`
    this.#losses = new PacketLosses(this.#bridge)
    this.hosts = Array.from({ length: receiverCount + 1 }, (_, index) => ({
      index,
      namespace: `${prefix}-host${index}`,
      ipv4: `10.77.${network}.${index + 1}`,
      ipv6: `fd77::${(index + 1).toString(16)}`,
    }))
  }

  /** What this machine lacks to build a lab, a line for people each; empty when nothing. */
  static missing(): string[] {
    const lines = missingPackages(LAB_PACKAGES)
    const effective = BigInt(`0x${/^CapEff:\s*(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`)
    const absent = Object.entries(CAPABILITIES).flatMap(([name, bit]) => ((effective >> bit) & 1n ? [] : [name]))
    if (absent.length > 0) lines.push(`root (this process lacks ${absent.join(' and ')})`)
    if (!existsSync('/proc/sys/net/ipv6')) lines.push('IPv6 in the kernel (it is off: ipv6.disable=1?)')
    return lines
  }

  /**
   * Builds a lab. Take it {@link Lab.down} in a `finally`.
   * @throws Error naming what is missing, or the command that failed; nothing is left behind then.
   */
  static up(options: LabOptions): Lab {
    const { receiverCount, mtuBytes = 1500, isReachable = false } = options
    requireWithin('receiverCount', receiverCount, 1, 200)
    requireWithin('mtuBytes', mtuBytes, 1280, 65_535)
    const missing = Lab.missing()
    if (missing.length > 0) throw new Error(`The network lab cannot be built here; it needs ${missing.join('; ')}`)
    removeStaleNamespaces()
    guardProcess()
    const lab = new Lab(receiverCount, mtuBytes, isReachable)
    standing.add(lab)
    try {
      lab.#build()
    } catch (error) {
      lab.down()
      throw error
    }
    return lab
  }

  /** Hosts 1 and up. */
  get receivers(): readonly LabHost[] {
    return this.hosts.slice(1)
  }

  /**
   * Loses UDP packets at random, each by itself, on their way to one host or, without `hostIndex`, to every receiver.
   * @param percent 0 to 100, in steps of 0.0001; replaces what was set before, 0 ends it
   */
  loss(percent: number, hostIndex?: number): void {
    requirePercent(percent)
    this.#losses.set(this.#chosen(hostIndex), () => randomMatch(percent))
  }

  /**
   * Loses UDP packets in runs of `burstPackets` at even distances, so that `percent` of them are lost on the way to one host or,
   * without `hostIndex`, to every receiver, each at other moments. Replaces what was set before for these hosts.
   * @param percent 0 to 100, so that a run and the gap after it are whole packets; 0 ends it
   */
  burstLoss(percent: number, burstPackets: number, hostIndex?: number): void {
    requirePercent(percent)
    requireWithin('burstPackets', burstPackets, 1, 10_000)
    const match = (index: number): string | undefined => burstMatch(percent, burstPackets, index / this.hosts.length)
    this.#losses.set(this.#chosen(hostIndex), match)
  }

  /**
   * Limits every link to a receiver, as a switch does whose ports are this fast. A queue holds what exceeds the limit and drops what
   * would wait longer than 50 ms. From then on what waits there no longer counts against the sockets of the sender's host, as on a
   * network: see {@link freePackets}.
   * @param megabitsPerSec bits on each link in millions a second; 0 ends the limit
   */
  rate(megabitsPerSec: number): void {
    requireWithin('megabitsPerSec', megabitsPerSec, 0, 100_000)
    if (megabitsPerSec > 0 && !this.#areFree) {
      this.#areFree = true
      freePackets(this.#bridge, 0, this.mtuBytes)
    }
    const limit = ['tbf', 'rate', `${megabitsPerSec}mbit`, 'burst', '256k', 'latency', '50ms']
    for (const { index } of this.receivers) {
      const root = ['-n', this.#bridge, 'qdisc', 'replace', 'dev', portOf(index), 'root']
      runCommand('tc', [...root, ...(megabitsPerSec === 0 ? ['noqueue'] : limit)])
    }
  }

  /** Pulls a host's cable: its interface loses the carrier and keeps its addresses and routes. */
  linkDown(hostIndex: number): void {
    runCommand('ip', ['-n', this.#bridge, 'link', 'set', portOf(this.#host(hostIndex).index), 'down'])
  }

  /** Puts a host's cable back. The host can reach others when this returns. */
  linkUp(hostIndex: number): void {
    const { index, namespace } = this.#host(hostIndex)
    runCommand('ip', ['-n', this.#bridge, 'link', 'set', portOf(index), 'up'])
    this.#awaitLink(index)
    // Those it looked for in vain meanwhile it would give up right after, and fail whatever waits for them by then.
    ip(['neigh flush dev eth0'], namespace)
  }

  /**
   * Starts a command on a host. The child's process id is that of the command itself, so signals reach it. What still runs when the
   * lab goes down is killed. A command that cannot be found ends with a status that is not 0 and says so on standard error.
   */
  spawn(hostIndex: number, command: string, args: readonly string[] = [], options: SpawnOptions = {}): ChildProcess {
    const namespace = this.#host(hostIndex).namespace
    return spawn('ip', ['netns', 'exec', namespace, command, ...args], { env: COMMAND_ENVIRONMENT, ...options })
  }

  /**
   * Runs a command on a host to its end and returns its standard output.
   * @throws Error with what it wrote to standard error when its status is not 0.
   */
  run(hostIndex: number, command: string, args: readonly string[] = []): string {
    return runIn(this.#host(hostIndex).namespace, command, args)
  }

  counters(hostIndex: number): HostCounters {
    const { namespace } = this.#host(hostIndex)
    const links = JSON.parse(runCommand('ip', ['-n', namespace, '-s', '-j', 'link', 'show', 'eth0'])) as [LinkReport]
    const { rx, tx } = links[0].stats64
    return {
      sentBytes: tx.bytes,
      sentPacketCount: tx.packets,
      receivedBytes: rx.bytes,
      receivedPacketCount: rx.packets,
      lostPacketCount: this.#losses.count(hostIndex),
      socketDropCount: countSocketDrops(this.run(hostIndex, 'cat', ['/proc/net/snmp', '/proc/net/snmp6'])),
    }
  }

  /** Kills what runs in the lab and removes it. May be called again, and for a lab that was only half built. */
  down(): void {
    // With its namespace the link would go too, but some time later.
    if (this.machine && networkInterfaces()[this.machine.interfaceName])
      runCommand('ip', ['link', 'delete', this.machine.interfaceName])
    removeNamespaces([...this.hosts.map((host) => host.namespace), this.#bridge])
    standing.delete(this)
  }

  #build(): void {
    const bridge = this.#bridge
    ip([`netns add ${bridge}`, ...this.hosts.map((host) => `netns add ${host.namespace}`)])
    // A bridge is no host: without IPv6 of its own it sends nothing, and what the counters show is what the hosts do.
    configure(bridge, 'net/ipv6/conf/default/disable_ipv6', 1)
    // Nor does a wire have the firewall of a host: where the kernel has it walk through frames on a bridge, that took half of the
    // time of the sender's system calls.
    for (const family of ['iptables', 'ip6tables', 'arptables']) {
      const setting = `net/bridge/bridge-nf-call-${family}`
      if (existsSync(`/proc/sys/${setting}`)) configure(bridge, setting, 0)
    }
    ip([`link add br0 mtu ${this.mtuBytes} type bridge mcast_snooping 0`, 'link set br0 up'], bridge)
    for (const host of this.hosts) this.#join(host)
    if (this.machine) this.#joinMachine(this.machine)
    this.#awaitLinks()
    this.#losses.build(this.hosts.length)
  }

  #join(host: LabHost): void {
    const { namespace } = host
    const mtu = `mtu ${this.mtuBytes}`
    // Addresses that are unique by construction need no seconds of duplicate detection before they can be used.
    configure(namespace, 'net/ipv6/conf/default/accept_dad', 0)
    ip([
      `link add eth0 ${mtu} netns ${namespace} type veth peer name ${portOf(host.index)} ${mtu} netns ${this.#bridge}`,
    ])
    ip([`link set ${portOf(host.index)} master br0 up`], this.#bridge)
    ip(
      [
        'link set lo up',
        // UDPcast needs the broadcast address.
        `addr add ${host.ipv4}/24 brd + dev eth0`,
        `addr add ${host.ipv6}/64 dev eth0`,
        'link set eth0 up',
        // For IPv6 the kernel adds the like, ff00::/8, by itself.
        'route add 224.0.0.0/4 dev eth0',
      ],
      namespace,
    )
    // Split UDP super-packets before the wire, and let the far end of the link hand over single packets, which GRO may join again.
    ethtool(namespace, 'eth0', 'tx-udp-segmentation off gro on')
    ethtool(this.#bridge, portOf(host.index), 'tso off')
  }

  #joinMachine({ interfaceName, ipv4 }: LabMachine): void {
    const mtu = `mtu ${this.mtuBytes}`
    ip([
      `link add ${interfaceName} ${mtu} type veth peer name uplink ${mtu} netns ${this.#bridge}`,
      `addr add ${ipv4}/24 brd + dev ${interfaceName}`,
      `link set ${interfaceName} up`,
    ])
    ip(['link set uplink master br0 up'], this.#bridge)
    runCommand('ethtool', ['-K', interfaceName, 'tx-udp-segmentation', 'off', 'gro', 'on'])
    ethtool(this.#bridge, 'uplink', 'tso off')
  }

  #awaitLinks(): void {
    for (const { index } of this.hosts) this.#awaitLink(index)
    if (this.machine) this.#awaitCarrier(this.#bridge, 'uplink')
  }

  #awaitLink(hostIndex: number): void {
    this.#awaitCarrier(this.#host(hostIndex).namespace, 'eth0')
    this.#awaitCarrier(this.#bridge, portOf(hostIndex))
  }

  /** The kernel notices the carrier of a link a little later, and drops what is sent until then. */
  #awaitCarrier(namespace: string, device: string): void {
    const deadlineMs = performance.now() + LINK_TIMEOUT_MS
    while (runIn(namespace, 'cat', [`/sys/class/net/${device}/operstate`]).trim() !== 'up') {
      if (performance.now() > deadlineMs) throw new Error(`The link ${device} of ${namespace} does not come up`)
    }
  }

  #host(index: number): LabHost {
    const host = this.hosts[index]
    if (!host) throw new RangeError(`host index must be 0 to ${this.hosts.length - 1}, got ${index}`)
    return host
  }

  /** The host that is meant, or all receivers. */
  #chosen(hostIndex: number | undefined): readonly number[] {
    return hostIndex === undefined ? this.receivers.map(({ index }) => index) : [this.#host(hostIndex).index]
  }
}

/** Part of what `ip -s -j link` prints. */
interface LinkReport {
  readonly stats64: Readonly<Record<'rx' | 'tx', { readonly bytes: number; readonly packets: number }>>
}

/** The third number of addresses that this machine does not have yet. Begins elsewhere in each process, as several may look at once. */
function freeNetwork(): number {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address))
  for (let tries = 0; tries < 254; tries++) {
    const network = 1 + ((process.pid + tries) % 254)
    if (!addresses.some((address) => address.startsWith(`10.77.${network}.`))) return network
  }
  throw new Error('All networks 10.77.1.0/24 to 10.77.254.0/24 are in use')
}

/** Sums the full-buffer drops of IPv4 (a row of names, then one of values) and IPv6 (a name and a value a line). */
function countSocketDrops(snmp: string): number {
  const [names = [], values = []] = [...snmp.matchAll(/^Udp: (.*)$/gm)].map((match) => match[1]!.split(' '))
  const ipv6 = /^Udp6RcvbufErrors\s+(\d+)$/m.exec(snmp)?.[1]
  return Number(values[names.indexOf('RcvbufErrors')] ?? 0) + Number(ipv6 ?? 0)
}

function requireWithin(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most)
    throw new RangeError(`${name} must be a whole number from ${least} to ${most}, got ${value}`)
}

function requirePercent(percent: number): void {
  if (!(percent >= 0 && percent <= 100)) throw new RangeError(`percent must be 0 to 100, got ${percent}`)
}

/** Takes standing labs down when this process ends, once for all labs. */
function guardProcess(): void {
  if (isGuarded) return
  isGuarded = true
  const takeDown = (): void => {
    for (const lab of standing) lab.down()
  }
  process.on('exit', takeDown)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      takeDown()
      // Where nobody else handles the signal, it does what it would have done without us.
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal)
    })
  }
}
