import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { readEnvironment } from './environment.ts'
import { whole } from './options.ts'
import { BARS, judgeBars } from './peers/bars.ts'
import { formatChart } from './peers/chart.ts'
import { formatMarkdown } from './peers/markdown.ts'
import { estimateMemoryMib, estimateSeconds, planAxes, planBars, planPoint, type Plan } from './peers/plan.ts'
import type { Report } from './peers/report.ts'
import { whatIsMissing } from './peers/requirements.ts'
import { judgeByRules } from './peers/rules.ts'
import { MEMORY_FOLDER } from './memory-folder.ts'
import { runPlan } from './peers/run-plan.ts'
import {
  BASE,
  DATA_NAMES,
  IMAGE_MIB,
  isOurs,
  isProgramName,
  OURS,
  PROGRAM_NAMES,
  RAW_LIMIT,
  type DataName,
  type ProgramName,
} from './peers/scenario.ts'
import { writeReport } from './report.ts'
import { peerVersions } from '../test/lab/peers.ts'

interface Options {
  readonly plan?: 'bars' | 'axes'
  readonly bars?: string
  readonly rounds: number
  readonly out?: string
  readonly receivers?: number
  readonly loss?: number
  readonly data?: DataName
  readonly mib?: number
  readonly mtu?: number
  readonly maxMbit?: number
  readonly programs?: readonly ProgramName[]
}

/** Any of these options asks for a point. */
const POINT_OPTIONS = ['receivers', 'loss', 'data', 'mib', 'mtu', 'maxMbit', 'programs'] as const

const program = new Command('npm run bench:peers --')
  .description(
    'Measures transfers in a lab of network namespaces on this machine, beside UDPcast and UFTP in the same run. Needs Linux and root. ' +
      'The exit status is 1 when a bar is missed or one of our runs fails.',
  )
  .option('--plan <NAME>', 'bars: what the bars need; axes: each axis by itself [bars]', oneOf('bars', 'axes'))
  .option('--bars <TEXT>', 'only the bars whose name contains this text')
  .option('--rounds <N>', 'how often each case runs', whole(1, 100), 5)
  .option('--out <FOLDER>', 'where the results go [bench/results]')
  .optionsGroup('One point instead of a plan:')
  .option('--receivers <N>', `hosts that receive [${BASE.receiverCount}]`, whole(1, 200))
  .option('--loss <PERCENT>', 'packets that each receiver loses [0]', parseLoss)
  .option('--data <NAME>', 'random, rootfs or holes [random]', oneOf(...DATA_NAMES))
  .option(
    '--mib <N>',
    `size of the image in MiB [random: ${IMAGE_MIB.random}, others: ${IMAGE_MIB.rootfs}]`,
    whole(64, 1024 ** 2),
  )
  .option('--mtu <BYTES>', `MTU of all links [${BASE.mtuBytes}]`, whole(1280, 65_535))
  .option('--max-mbit <N>', 'cap for every program, in Mbit/s [none]', whole(1, 100_000))
  .option('--programs <LIST>', `of ${PROGRAM_NAMES.join(', ')} [${OURS},udpcast,uftp,${RAW_LIMIT}]`, parsePrograms)
  .parse()

await main(program.opts())

async function main(options: Options): Promise<void> {
  const plan = choosePlan(options)
  const missing = whatIsMissing(MEMORY_FOLDER, estimateMemoryMib(plan))
  if (missing !== undefined) program.error(`error: ${missing}`)
  const say = (text: string): void => void process.stdout.write(text)
  const minutes = (options.rounds * plan.cases.reduce((sum, one) => sum + estimateSeconds(one), 0)) / 60
  say(`${plan.cases.length} cases in ${options.rounds} rounds: about ${Math.ceil(minutes)} min on two processors\n`)
  const environment = readEnvironment('bench:peers', peerVersions())
  const { name } = plan
  const { out = join(import.meta.dirname, 'results') } = options
  let report: Report | undefined
  await runPlan(plan, options.rounds, say, (findings, roundCount) => {
    const bars = judgeBars(plan.bars, findings)
    const others = judgeByRules(findings).filter(({ label }) => bars.every((bar) => bar.label !== label))
    report = { name, roundCount, environment, ...findings, verdicts: [...bars, ...others] }
    const figures = { ...report, images: Object.fromEntries(report.images) }
    writeReport(out, name, { page: formatMarkdown(report), figures, chart: formatChart(report.summaries) })
  })
  say(`\n${formatMarkdown(report!)}\nWritten to ${join(out, name)}.md, .json and .svg\n`)
  if (hasFailed(report!)) process.exitCode = 1
}

function choosePlan(options: Options): Plan {
  const isPoint = POINT_OPTIONS.some((name) => options[name] !== undefined)
  if (
    [isPoint, options.bars !== undefined, options.plan === 'axes'].filter(Boolean).length > 1 ||
    (isPoint && options.plan)
  )
    program.error('error: --plan axes, --bars and the options of one point exclude each other')
  if (isPoint) return choosePoint(options)
  if (options.plan === 'axes') return planAxes()
  const { bars: text = '' } = options
  const bars = BARS.filter(({ label }) => label.includes(text))
  if (bars.length === 0)
    program.error(`error: no bar contains "${text}"; there are\n${BARS.map(({ label }) => `  ${label}`).join('\n')}`)
  return planBars(bars)
}

function choosePoint({
  programs = [OURS, 'udpcast', 'uftp', RAW_LIMIT],
  data = BASE.data,
  maxMbit,
  ...options
}: Options): Plan {
  return planPoint(programs, {
    data,
    imageMib: options.mib ?? IMAGE_MIB[data],
    receiverCount: options.receivers ?? BASE.receiverCount,
    lossPercent: options.loss ?? BASE.lossPercent,
    mtuBytes: options.mtu ?? BASE.mtuBytes,
    ...(maxMbit === undefined ? {} : { maxBitsPerSec: maxMbit * 1e6 }),
  })
}

/** A peer's failed runs count only where a bar is left without a figure. */
function hasFailed({ verdicts, summaries, start }: Report): boolean {
  const failures = summaries.filter(({ program: name }) => isOurs(name)).flatMap((summary) => summary.failures)
  return failures.length > 0 || (start?.failures ?? []).length > 0 || verdicts.some(({ isMet }) => isMet === false)
}

function oneOf<Name extends string>(...names: readonly Name[]): (text: string) => Name {
  return (text) => {
    const found = names.find((name) => name === text)
    if (found === undefined) throw new InvalidArgumentError(`It must be one of ${names.join(', ')}.`)
    return found
  }
}

function parseLoss(text: string): number {
  const percent = Number(text)
  if (text === '' || !(percent >= 0 && percent < 100))
    throw new InvalidArgumentError('It must be a percentage from 0 to below 100.')
  return percent
}

function parsePrograms(text: string): ProgramName[] {
  return text.split(',').map((name) => {
    if (!isProgramName(name))
      throw new InvalidArgumentError(`It must be some of ${PROGRAM_NAMES.join(', ')}, with commas between.`)
    return name
  })
}
