import type { BenchImage } from './images.ts'
import { OURS } from './run-case.ts'
import { describeScenario, type DataName, type Scenario } from './scenario.ts'
import type { CaseSummary } from './summary.ts'

/** A ratio within one run of the benchmark, and what it must be where something is asked of it. */
export interface Comparison {
  readonly label: string
  readonly value: number
  /** The most that it may be. */
  readonly atMost?: number
  /** Absent where nothing is asked. */
  readonly isMet?: boolean
}

/** Loss in percent → most bytes that may be sent, as a multiple of those without loss. */
const MOST_BYTES: Readonly<Record<number, number>> = { 1: 1.05 }

/** Most bytes on the wire for a real file system, as a share of its data. */
const MOST_ROOTFS_SHARE = 0.6

/** Compares what ran, by medians where the label says nothing else. What lacks its counterpart, or has no run that succeeded, is left out. */
export function compare(
  summaries: readonly CaseSummary[],
  images: ReadonlyMap<DataName, BenchImage>,
): readonly Comparison[] {
  const succeeded = summaries.filter(({ runCount }) => runCount > 0)
  return succeeded
    .filter(({ program }) => program === OURS)
    .flatMap((ours) => [
      ...compareWithLossless(ours, succeeded),
      ...compareWithPeers(ours, succeeded),
      ...compareWithData(ours, images),
    ])
}

function compareWithLossless(ours: CaseSummary, all: readonly CaseSummary[]): Comparison[] {
  const { lossPercent } = ours.scenario
  if (lossPercent === 0) return []
  const lossless = find(all, OURS, { ...ours.scenario, lossPercent: 0 })
  if (!lossless) return []
  const where = describeScenario(ours.scenario)
  // A busy machine makes receivers drop, and ours send again, without any loss in the network: that must not lower the bar.
  const bytesRatio = ours.sentBytes.median / lossless.sentBytes.min
  const timeRatio = ours.wholeRunMs.median / lossless.wholeRunMs.median
  return [
    comparison(`bytes sent, over the least at 0 % loss: ${where}`, bytesRatio, MOST_BYTES[lossPercent]),
    comparison(`time, over that at 0 % loss: ${where}`, timeRatio),
  ]
}

function compareWithPeers(ours: CaseSummary, all: readonly CaseSummary[]): Comparison[] {
  return all
    .filter(({ program }) => program !== OURS)
    .flatMap(({ program }) => find(all, program, ours.scenario) ?? [])
    .map((peer) => {
      const ratio = ours.wholeRunMs.median / peer.wholeRunMs.median
      return comparison(`time, over that of ${peer.program}: ${describeScenario(ours.scenario)}`, ratio, 1)
    })
}

function compareWithData(ours: CaseSummary, images: ReadonlyMap<DataName, BenchImage>): Comparison[] {
  const image = images.get(ours.scenario.data)
  if (ours.scenario.data !== 'rootfs' || !image || ours.dataBytes === undefined) return []
  const { dataBytes, sentBytes, scenario } = ours
  const where = describeScenario(scenario)
  return [
    comparison(`bytes sent, over its data: ${where}`, sentBytes.median / dataBytes, MOST_ROOTFS_SHARE),
    // More would be holes that were taken for data.
    comparison(`data sent, over what is stored of the image: ${where}`, dataBytes / image.allocatedBytes, 1),
  ]
}

const comparison = (label: string, value: number, atMost?: number): Comparison =>
  atMost === undefined ? { label, value } : { label, value, atMost, isMet: value <= atMost }

const find = (all: readonly CaseSummary[], program: string, scenario: Scenario): CaseSummary | undefined =>
  all.find((other) => other.program === program && describeScenario(other.scenario) === describeScenario(scenario))
