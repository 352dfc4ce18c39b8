import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab } from '../../test/lab/lab.ts'
import { configure, ip } from '../../test/lab/network-commands.ts'

/** How long the server may take to listen, and a lone flow to fill the link, milliseconds. */
const LISTEN_MS = 500
const FILL_MS = 2000

/** A TCP flow of iperf3 from the sender's host to another, with the congestion control that Linux has by default. */
export class TcpFlow {
  readonly #server: ChildProcess
  readonly #client: ChildProcess
  readonly #samples: { readonly atMs: number; readonly bitsPerSec: number }[] = []

  private constructor(server: ChildProcess, client: ChildProcess) {
    this.#server = server
    this.#client = client
    client.stdout?.setEncoding('utf8').on('data', (text: string) => {
      for (const [, megabits] of text.matchAll(/ ([\d.]+) Mbits\/sec/g)) {
        this.#samples.push({ atMs: performance.now(), bitsPerSec: Number(megabits) * 1e6 })
      }
    })
  }

  /** Starts one; it has had the link to itself for two seconds when this resolves. */
  static async start(lab: Lab, hostIndex: number): Promise<TcpFlow> {
    const server = lab.spawn(hostIndex, 'iperf3', ['--server', '--one-off'], { stdio: 'ignore' })
    await sleep(LISTEN_MS)
    const options = ['--time', '120', '--interval', '0.2', '--format', 'm', '--forceflush', '--congestion', 'cubic']
    const client = lab.spawn(0, 'iperf3', ['--client', lab.hosts[hostIndex]!.ipv4, ...options], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const flow = new TcpFlow(server, client)
    await sleep(FILL_MS)
    return flow
  }

  /** Ends it. @returns its mean rate between two moments of `performance.now()`, bits per second */
  async stop(fromMs: number, toMs: number): Promise<number> {
    for (const child of [this.#client, this.#server]) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
    const rates = this.#samples.filter(({ atMs }) => atMs > fromMs && atMs <= toMs).map(({ bitsPerSec }) => bitsPerSec)
    return rates.reduce((sum, rate) => sum + rate, 0) / rates.length
  }
}

/** The routing table of the flow. */
const ROUTE_TABLE = '100'

/**
 * Once in a lab: has flows of TCP to a host take a router's step on the sender's host before they go to the bridge. Linux lets a flow
 * have only some milliseconds of its own packets waiting on its host (TCP small queues), and counts the queue of the bridge as its
 * host's: the flow would never fill it, as it does on a network. A router takes packets from their socket.
 */
export function routeTcpAround(lab: Lab, hostIndex: number): void {
  const { namespace } = lab.hosts[0]!
  const { ipv4 } = lab.hosts[hostIndex]!
  ip(['link add out type veth peer name in address 02:00:00:00:00:01'], namespace)
  ip(['link set out up', 'link set in up'], namespace)
  for (const setting of ['ip_forward', 'conf/in/accept_local']) configure(namespace, `net/ipv4/${setting}`, 1)
  for (const name of ['all', 'in']) configure(namespace, `net/ipv4/conf/${name}/rp_filter`, 0)
  ip([`route add ${ipv4} dev out src ${lab.hosts[0]!.ipv4} table ${ROUTE_TABLE}`], namespace)
  ip([`neigh add ${ipv4} lladdr 02:00:00:00:00:01 dev out`], namespace)
  ip([`rule add iif lo ipproto tcp to ${ipv4} lookup ${ROUTE_TABLE}`], namespace)
}
