import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { readStudyEnvironment } from './environment.ts'
import { whole } from './options.ts'
import { writeReport } from './report.ts'
import { judge } from './scale/bars.ts'
import { formatChart } from './scale/chart.ts'
import { parseLossModel, type LossModel } from './scale/losses.ts'
import { formatMarkdown, type Report } from './scale/markdown.ts'
import { runCase, type Scale, type ScaleCase, type ScaleRun } from './scale/run-case.ts'
import { summarize, type CaseSummary } from './scale/summary.ts'

interface Options {
  readonly receivers: readonly number[]
  readonly loss?: readonly LossModel[]
  readonly runs?: number
  readonly seed: number
  readonly slices: number
  readonly mbit: number
  readonly out: string
}

/** Runs of a case unless the user says so: enough for that many receivers in all, since what few lose is chance. */
const RUN_RECEIVERS = 400
const MAX_DEFAULT_RUNS = 12

/** Processor time on the machine of the first study: for each run, and for each receiver and slice. */
const RUN_SEC = 0.5
const RECEIVER_SLICE_SEC = 0.00007

const program = new Command('npm run bench:scale --')
  .description(
    'Runs the real sender and receivers in virtual time, in groups of up to 10,000, and counts what the sender hears and sends. ' +
      'Needs about 1.5 GiB of memory and one processor. The exit status is 1 when a bar is missed or a session fails.',
  )
  .option(
    '--receivers <COUNTS>',
    'sizes of the group, with commas between',
    parseCounts,
    [1, 4, 16, 64, 256, 1000, 10_000],
  )
  .option('--loss <LIST>', 'losses in percent, or mix, with commas between [0.1,1,5,mix]', parseLosses)
  .option('--runs <N>', 'runs of each case [more, the fewer receivers]', whole(1, 1000))
  .option('--seed <N>', 'seed of the first run; the next have the next', whole(0, 2 ** 31), 1)
  .option('--slices <N>', 'size of the image in slices of 256 KiB', whole(1, 4096), 64)
  .option('--mbit <N>', 'cap of the sender, in Mbit/s', whole(1, 1000), 200)
  .option('--out <FOLDER>', 'where scale.md, scale.json and scale.svg go', join(import.meta.dirname, 'results'))
  .parse()

main(program.opts())

function main(options: Options): void {
  const environment = readStudyEnvironment('bench:scale')
  const scale: Scale = { sliceCount: options.slices, bitsPerSec: options.mbit * 1e6 }
  const { loss: losses = parseLosses('0.1,1,5,mix') } = options
  const cases = losses.flatMap((loss) => options.receivers.map((receiverCount) => ({ receiverCount, loss })))
  process.stdout.write(`${cases.length} cases, about ${estimateMinutes(cases, options)} min\n`)
  const summaries: CaseSummary[] = []
  const failures: Report['failures'][number][] = []
  for (const plan of cases) {
    const label = `${plan.receiverCount.toLocaleString('en')} receivers, ${plan.loss.label}`
    process.stdout.write(`${label}: `)
    try {
      summaries.push(summarize(plan, scale, runAll(plan, scale, options)))
      const { messagesPerSec, extraRatio } = summaries.at(-1)!
      process.stdout.write(`${messagesPerSec.toFixed(0)} messages/s, ${(100 * extraRatio).toFixed(2)} % extra\n`)
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      failures.push({ label, text })
      process.stdout.write(`failed: ${text}\n`)
    }
  }
  const report: Report = { environment, scale, summaries, bars: judge(summaries), failures }
  const page = formatMarkdown(report)
  const chart = summaries.length > 0 ? { chart: formatChart(summaries) } : {}
  writeReport(options.out, 'scale', { page, figures: report, ...chart })
  process.stdout.write(`\n${page}\nWritten to ${options.out}\n`)
  if (failures.length > 0 || report.bars.some(({ isMet }) => !isMet)) process.exitCode = 1
}

function runAll(plan: ScaleCase, scale: Scale, options: Options): ScaleRun[] {
  return Array.from({ length: runCountOf(plan, options) }, (_, index) => runCase(plan, scale, options.seed + index))
}

function runCountOf({ receiverCount }: ScaleCase, { runs }: Options): number {
  return runs ?? Math.max(1, Math.min(MAX_DEFAULT_RUNS, Math.floor(RUN_RECEIVERS / receiverCount)))
}

function estimateMinutes(cases: readonly ScaleCase[], options: Options): number {
  const seconds = cases.reduce(
    (sum, plan) =>
      sum + runCountOf(plan, options) * (RUN_SEC + plan.receiverCount * options.slices * RECEIVER_SLICE_SEC),
    0,
  )
  return Math.ceil(seconds / 60)
}

function parseCounts(text: string): number[] {
  const counts = text.split(',').map(Number)
  if (counts.some((count) => !Number.isInteger(count) || count < 1 || count > 16_384))
    throw new InvalidArgumentError('It must be whole numbers from 1 to 16384, with commas between.')
  return [...new Set(counts)].sort((one, other) => one - other)
}

function parseLosses(text: string): LossModel[] {
  return text.split(',').map((part) => {
    const model = parseLossModel(part)
    if (model === undefined)
      throw new InvalidArgumentError('It must be percentages from 0 to below 100, or mix, with commas between.')
    return model
  })
}
