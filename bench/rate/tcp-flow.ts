import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab } from '../../test/lab/lab.ts'

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
