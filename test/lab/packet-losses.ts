import { nft, runIn } from './network-commands.ts'

/** The share of packets that `numgen` can express: one millionth. */
const LOSS_STEPS = 1_000_000

/** Takes UDP packets from a bridge on their way to hosts, by rules of nftables, and counts them. */
export class PacketLosses {
  readonly #bridge: string
  /** Host index → the match that picks the packets. */
  readonly #matches = new Map<number, string>()

  /** @param bridge namespace of the bridge, which has a port {@link portOf} for each host */
  constructor(bridge: string) {
    this.#bridge = bridge
  }

  /** To be called before the other methods. */
  build(hostCount: number): void {
    nft(this.#bridge, [
      'table bridge lab {',
      ...Array.from({ length: hostCount }, (_, index) => `counter ${counterOf(index)} {}`),
      '}',
    ])
  }

  /** @param match which packets to a host are lost, in place of those before; undefined for none */
  set(hostIndexes: readonly number[], match: (hostIndex: number) => string | undefined): void {
    for (const index of hostIndexes) {
      const packets = match(index)
      if (packets === undefined) this.#matches.delete(index)
      else this.#matches.set(index, packets)
    }
    const rules = [...this.#matches].map(([index, packets]) => {
      const which = `oifname ${portOf(index)} meta l4proto udp ${packets}`
      return `add rule bridge lab towards ${which} counter name ${counterOf(index)} drop`
    })
    // Each time anew, and none without rules: a chain costs time for each packet, and a wire has none.
    const chain = 'chain bridge lab towards'
    const fresh = [`add ${chain} { type filter hook forward priority 0; }`, `flush ${chain}`]
    nft(this.#bridge, [...fresh, ...(rules.length === 0 ? [`delete ${chain}`] : rules)])
  }

  /** How many packets to a host were lost. */
  count(hostIndex: number): number {
    const text = runIn(this.#bridge, 'nft', ['-j', 'list', 'counter', 'bridge', 'lab', counterOf(hostIndex)])
    const report = JSON.parse(text) as CounterReport
    return report.nftables.find((object) => object.counter)?.counter?.packets ?? 0
  }
}

/** The bridge's end of a host's link. */
export const portOf = (hostIndex: number): string => `p${hostIndex}`

/** Picks so many percent of the packets at random. */
export function randomMatch(percent: number): string | undefined {
  const steps = Math.round((percent / 100) * LOSS_STEPS)
  if (steps === 0) return undefined
  // The comparison takes no number that `numgen` cannot reach.
  return steps === LOSS_STEPS ? '' : `numgen random mod ${LOSS_STEPS} < ${steps}`
}

/** Picks so many percent of the packets in runs at even distances. @param phase where in a period the run is, 0 to below 1 */
export function burstMatch(percent: number, burstPackets: number, phase: number): string | undefined {
  if (percent === 0) return undefined
  const period = Math.round((burstPackets * 100) / percent)
  const start = Math.floor((period - burstPackets) * phase)
  return `numgen inc mod ${period} ${start}-${start + burstPackets - 1}`
}

const counterOf = (hostIndex: number): string => `lost${hostIndex}`

/** Part of what `nft -j list counter` prints. */
interface CounterReport {
  readonly nftables: readonly { readonly counter?: { readonly packets: number } }[]
}
