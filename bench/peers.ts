import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { Lab } from '../test/lab/lab.ts'
import { missingForPeers, type PeerName } from '../test/lab/peers.ts'
import { compare } from './peers/rules.ts'
import { makeImage, type BenchImage } from './peers/images.ts'
import { readEnvironment } from './peers/environment.ts'
import { formatMarkdown, type Report } from './peers/markdown.ts'
import { MEMORY_FOLDER, OURS, runCase, type CaseRun } from './peers/run-case.ts'
import { describeScenario, type Case, type DataName, type Scenario } from './peers/scenario.ts'
import { summarize } from './peers/summary.ts'

/** Programs that ours is compared with, without loss. */
const PEERS: readonly PeerName[] = ['udpcast', 'udpcast-eager']

interface Options {
  readonly rounds: number
  readonly receivers: number
  readonly loss: readonly number[]
  readonly mib: number
  readonly mtu: number
  readonly maxMbit?: number
  readonly out: string
}

const program = new Command('npm run bench:peers --')
  .description(
    'Measures transfers in a lab of network namespaces, beside UDPcast in the same run. Needs root and a build (npm run build).',
  )
  .option('--rounds <N>', 'how often each case runs', whole(1, 100), 3)
  .option('--receivers <N>', 'hosts that receive', whole(1, 200), 4)
  .option('--loss <PERCENTS>', 'losses to try with ours, with commas between', parseLosses, [0, 1, 5])
  .option('--mib <N>', 'size of the random image in MiB', whole(1, 4096), 512)
  .option('--mtu <BYTES>', 'MTU of all links', whole(1280, 65_535), 1500)
  .option('--max-mbit <N>', 'cap for every program, in Mbit/s [none]', whole(1, 100_000))
  .option('--out <FOLDER>', 'where lab.md and lab.json go', join(import.meta.dirname, 'results'))
  .parse()

await main(program.opts())

async function main(options: Options): Promise<void> {
  const missing = [...Lab.missing(), ...missingForPeers()]
  if (!existsSync(join(import.meta.dirname, '../dist/cli/send.js'))) missing.push('a build (npm run build)')
  if (missing.length > 0) program.error(`error: the benchmark needs ${missing.join('; ')}`)
  const command = ['npm run bench:peers', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ')
  const report = await measure(planCases(options), options, command)
  mkdirSync(options.out, { recursive: true })
  const images = Object.fromEntries(report.images)
  writeFileSync(join(options.out, 'lab.json'), `${JSON.stringify({ ...report, images }, null, 2)}\n`)
  writeFileSync(join(options.out, 'lab.md'), formatMarkdown(report))
  process.stdout.write(`\n${formatMarkdown(report)}\nWritten to ${options.out}\n`)
  const hasFailed = report.summaries.some(({ failures }) => failures.length > 0)
  if (hasFailed || report.comparisons.some(({ isMet }) => isMet === false)) process.exitCode = 1
}

/** In the order in which each round runs them. */
function planCases({ receivers, loss, mtu, maxMbit }: Options): Case[] {
  const base = {
    ...{ receiverCount: receivers, mtuBytes: mtu },
    ...(maxMbit === undefined ? {} : { maxBitsPerSec: maxMbit * 1e6 }),
  }
  const lossless: Scenario = { ...base, data: 'random', lossPercent: 0 }
  return [
    ...loss.map((lossPercent) => ({ program: OURS, scenario: { ...lossless, lossPercent } })),
    ...PEERS.map((peer) => ({ program: peer, scenario: lossless })),
    { program: OURS, scenario: { ...base, data: 'rootfs', lossPercent: 0 } },
  ]
}

/** Runs all cases in turn, round by round, so that whatever else the machine does meets all of them alike. */
async function measure(cases: readonly Case[], options: Options, command: string): Promise<Report> {
  const environment = readEnvironment(command)
  const folder = mkdtempSync(join(MEMORY_FOLDER, 'skilfish-bench-'))
  const lab = Lab.up({ receiverCount: options.receivers, mtuBytes: options.mtu })
  try {
    const images = new Map<DataName, BenchImage>()
    for (const data of new Set(cases.map(({ scenario }) => scenario.data)))
      images.set(data, await makeImage(data, folder, options.mib * 1024 ** 2))
    const outcomes = cases.map((plan) => ({ plan, runs: [] as CaseRun[], failures: [] as string[] }))
    for (let round = 1; round <= options.rounds; round++) {
      for (const { plan, runs, failures } of outcomes) {
        process.stdout.write(`round ${round}: ${plan.program}, ${describeScenario(plan.scenario)}: `)
        try {
          const run = await runCase(lab, plan, images.get(plan.scenario.data)!.path)
          runs.push(run)
          process.stdout.write(`${(run.wholeRunMs / 1000).toFixed(2)} s\n`)
        } catch (error) {
          failures.push(error instanceof Error ? error.message : String(error))
          process.stdout.write(`failed\n${failures.at(-1)!}\n`)
        }
      }
    }
    const summaries = outcomes.map(({ plan, runs, failures }) => summarize(plan, runs, failures))
    return { environment, images, summaries, comparisons: compare(summaries, images) }
  } finally {
    lab.down()
    rmSync(folder, { recursive: true, force: true })
  }
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
    return value
  }
}

function parseLosses(text: string): number[] {
  const percents = text.split(',').map(Number)
  if (percents.some((percent) => !(percent >= 0 && percent < 100)))
    throw new InvalidArgumentError('It must be percentages from 0 to below 100, with commas between.')
  return percents
}
