import type { CaseSummary } from './summary.ts'

/** Something that is asked of the figures. */
export interface Bar {
  readonly label: string
  readonly measured: number
  readonly atMost: number
  readonly isMet: boolean
}

/** The extra symbols that a case may need, as a multiple of the least possible. */
const MOST_OVER_IDEAL = 1.3

/** How much more the sender may hear of the largest group than of one of so many, at this loss. */
const MOST_GROWTH = { times: 2, fromCount: 64, loss: '1' } as const

/** Holds the figures to what is asked of them. A bar whose cases have not been run is left out. */
export function judge(summaries: readonly CaseSummary[]): Bar[] {
  return [...judgeGrowth(summaries), ...summaries.flatMap(judgeExtra)]
}

function judgeGrowth(summaries: readonly CaseSummary[]): Bar[] {
  const { times, fromCount, loss } = MOST_GROWTH
  const ofLoss = summaries.filter((summary) => summary.loss === loss)
  const from = ofLoss.find(({ receiverCount }) => receiverCount === fromCount)
  const larger = ofLoss.filter(({ receiverCount }) => receiverCount > fromCount)
  if (from === undefined || larger.length === 0) return []
  const largestCount = Math.max(...larger.map(({ receiverCount }) => receiverCount))
  const growth = (what: string, figure: (summary: CaseSummary) => number): Bar => {
    const label = `messages per second, ${what}, of up to ${format(largestCount)} receivers, over those of ${fromCount}: ${loss} % loss`
    return bar(label, Math.max(...larger.map(figure)) / figure(from), times)
  }
  return [
    growth('mean of the session', ({ messagesPerSec }) => messagesPerSec),
    growth('busiest second', ({ busiestSecondCount }) => busiestSecondCount),
  ]
}

function judgeExtra({ receiverCount, lossLabel, extraRatio, idealExtraRatio }: CaseSummary): Bar[] {
  if (idealExtraRatio === 0) return []
  const label = `extra symbols, over the ideal: ${format(receiverCount)} receivers, ${lossLabel}`
  return [bar(label, extraRatio / idealExtraRatio, MOST_OVER_IDEAL)]
}

const bar = (label: string, measured: number, atMost: number): Bar => ({
  ...{ label, measured, atMost },
  isMet: measured <= atMost,
})

const format = (count: number): string => count.toLocaleString('en')
