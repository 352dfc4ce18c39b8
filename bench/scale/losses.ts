import type { LinkSpec } from '../../test/sim/link.ts'

/** How the packets of a case get lost, on the way to each receiver and on its way back. */
export interface LossModel {
  /** As an option names it. */
  readonly name: string
  readonly label: string
  /** What each receiver loses, where it is the same for all and each packet has its own fate. */
  readonly lossRatio?: number
  readonly linkOf: (receiverIndex: number) => LinkSpec
}

/** Bursts of 20 packets on average, half of which are lost, and 1,980 packets between two: 0.5 % in all. */
const BURSTS: LinkSpec = { bursts: { enterRatio: 1 / 1980, leaveRatio: 1 / 20, lossRatio: 0.5 } }

/** A third each: nearly clean, evenly lossy, and in bursts. */
const MIX: readonly LinkSpec[] = [{ lossRatio: 0.001 }, { lossRatio: 0.01 }, BURSTS]

/** @param text percents from 0 to below 100, or `mix` */
export function parseLossModel(text: string): LossModel | undefined {
  if (text === 'mix') return { name: text, label: 'mix of bursts', linkOf: (index) => MIX[index % MIX.length]! }
  const percent = Number(text)
  if (text.trim() === '' || !(percent >= 0 && percent < 100)) return undefined
  const lossRatio = percent / 100
  return { name: String(percent), label: `${percent} %`, lossRatio, linkOf: () => ({ lossRatio }) }
}
