import { bytesLabel, bytesRatio, MOST_BYTES, MOST_MEMORY_MIB, speedLabel, speedRatio } from './ratios.ts'
import { findCase, type Findings } from './findings.ts'
import { imageName } from './images.ts'
import { describeScenario, isOurs, isPeer, OURS, RAW_LIMIT, PROGRAM_NAMES } from './scenario.ts'
import type { CaseSummary } from './summary.ts'
import { judge, type Verdict } from './verdict.ts'

/** Most bytes on the wire for a real file system, as a share of its data. */
const MOST_ROOTFS_SHARE = 0.6

const MIB = 1024 ** 2

/** Holds whatever ran to what is asked in every scenario. What lacks its counterpart, or has no run that succeeded, is left out. */
export function judgeByRules({ summaries, images }: Findings): readonly Verdict[] {
  const ours = summaries.filter(({ program, runCount }) => runCount > 0 && isOurs(program))
  return [
    ...ours.flatMap((summary) => [
      ...compareWithOthers(summary, summaries),
      ...compareWithLossless(summary, summaries),
      ...compareWithData(summary, images),
    ]),
    ...(ours.length > 0 ? judgeMemory(ours) : []),
  ]
}

function compareWithOthers(ours: CaseSummary, all: readonly CaseSummary[]): Verdict[] {
  const { program, scenario } = ours
  return PROGRAM_NAMES.filter((other) => isPeer(other) || other === RAW_LIMIT).flatMap((other) => {
    const summary = findCase(all, { program: other, scenario })
    if (!summary) return []
    // Without the kernel's help ours has a bar of its own, in one scenario.
    const bound = program === OURS && other !== RAW_LIMIT ? { atLeast: 1 } : undefined
    return [judge(speedLabel(program, other, scenario), speedRatio(ours, summary), '×', bound)]
  })
}

function compareWithLossless(ours: CaseSummary, all: readonly CaseSummary[]): Verdict[] {
  const { program, scenario } = ours
  const lossless = findCase(all, { program, scenario: { ...scenario, lossPercent: 0 } })
  if (program !== OURS || scenario.lossPercent === 0 || !lossless) return []
  const most = MOST_BYTES[scenario.lossPercent]
  const bound = most === undefined ? undefined : { atMost: most }
  return [
    judge(bytesLabel(scenario), bytesRatio(ours, lossless), '×', bound),
    judge(`time, over that at 0 % loss: ${describeScenario(scenario)}`, 1 / speedRatio(ours, lossless), '×'),
  ]
}

function compareWithData(ours: CaseSummary, images: Findings['images']): Verdict[] {
  const { program, scenario, dataBytes, sentBytes } = ours
  const image = images.get(imageName(scenario))
  if (program !== OURS || scenario.data === 'random' || !image || dataBytes === undefined) return []
  const where = describeScenario(scenario)
  const stored = dataBytes / image.allocatedBytes
  return [
    ...(scenario.data === 'rootfs'
      ? [judge(`bytes sent, over its data: ${where}`, sentBytes.median / dataBytes, '×', { atMost: MOST_ROOTFS_SHARE })]
      : []),
    // More would be holes that were taken for data.
    judge(`data sent, over what is stored of the image: ${where}`, stored, '×', { atMost: 1 }),
  ]
}

function judgeMemory(ours: readonly CaseSummary[]): Verdict[] {
  const most = (figure: 'receiverPeakBytes' | 'senderPeakBytes'): number =>
    Math.max(...ours.map((summary) => summary[figure].max)) / MIB
  return [
    judge('peak memory of a receiver, the most of all runs', most('receiverPeakBytes'), 'MiB', {
      atMost: MOST_MEMORY_MIB.receiver,
    }),
    judge('peak memory of a sender, the most of all runs', most('senderPeakBytes'), 'MiB', {
      atMost: MOST_MEMORY_MIB.sender,
    }),
  ]
}
