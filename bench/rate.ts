import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { missingPackages } from '../test/lab/command.ts'
import { writeRandomImage } from '../test/lab/images.ts'
import { Lab } from '../test/lab/lab.ts'
import { readEnvironment } from './environment.ts'
import { makeMemoryFolder } from './memory-folder.ts'
import { someOf, whole } from './options.ts'
import { formatReport, judge, type Measured, type Outcome } from './rate/report.ts'
import { runScenario } from './rate/run-scenario.ts'
import { SCENARIOS, type Scenario } from './rate/scenario.ts'
import { SlowDisk } from './rate/slow-disk.ts'
import { writeReport } from './report.ts'

interface Options {
  readonly rounds: number
  readonly receivers: number
  readonly mib: number
  readonly only?: readonly Scenario[]
  readonly out: string
}

const program = new Command('npm run bench:rate --')
  .description(
    'Measures what the adaptive rate is worth, in a lab of network namespaces: against fixed caps in the same run, and beside a TCP flow. ' +
      'Needs root. The exit status is 1 when a bar is missed or a run fails.',
  )
  .option('--rounds <N>', 'how often each case runs', whole(1, 100), 3)
  .option('--receivers <N>', 'hosts that receive', whole(2, 16), 4)
  .option('--mib <N>', 'size of the random image in MiB', whole(16, 4096), 512)
  .option(
    '--only <NAMES>',
    `of ${SCENARIOS.map(({ name }) => name).join(', ')}, with commas between [all]`,
    someOf('scenario', SCENARIOS),
  )
  .option('--out <FOLDER>', 'where rate.md and rate.json go', join(import.meta.dirname, 'results'))
  .parse()

await main(program.opts())

async function main(options: Options): Promise<void> {
  const missing = [...Lab.missing(), ...SlowDisk.missing(), ...missingPackages({ iperf3: ['iperf3'] })]
  if (!existsSync(join(import.meta.dirname, '../dist/cli/send.js'))) missing.push('a build (npm run build)')
  if (missing.length > 0) program.error(`error: the benchmark needs ${missing.join('; ')}`)
  const environment = readEnvironment('bench:rate')
  const outcomes = (await measure(options)).map(judge)
  const page = formatReport(environment, options, outcomes)
  writeReport(options.out, 'rate', { page, figures: { environment, outcomes } })
  process.stdout.write(`\n${page}\nWritten to ${options.out}\n`)
  if (outcomes.some(({ isMet }: Outcome) => !isMet)) process.exitCode = 1
}

/** Runs all cases in turn, round by round, so that whatever else the machine does meets all of them alike. */
async function measure({ rounds, receivers, mib, only = SCENARIOS }: Options): Promise<Measured[]> {
  const { path: folder, remove } = makeMemoryFolder('rate')
  const source = { path: join(folder, 'image'), sizeBytes: mib * 1024 ** 2 }
  const lab = Lab.up({ receiverCount: receivers })
  try {
    await writeRandomImage(source.path, source.sizeBytes, 1)
    const measured = only.map((scenario): Measured => ({
      scenario,
      cases: [undefined, ...scenario.caps].map((capBitsPerSec) => ({ capBitsPerSec, runs: [], failures: [] })),
    }))
    for (let round = 1; round <= rounds; round++) {
      for (const { scenario, cases } of measured) {
        for (const { capBitsPerSec, runs, failures } of cases) {
          const cap = capBitsPerSec === undefined ? 'no cap' : `${capBitsPerSec / 1e6} Mbit/s`
          process.stdout.write(`round ${round}: ${scenario.title}, ${cap}: `)
          try {
            const run = await runScenario(lab, scenario, capBitsPerSec, source)
            runs.push(run)
            process.stdout.write(`${(run.wholeRunMs / 1000).toFixed(2)} s\n`)
          } catch (error) {
            failures.push(error instanceof Error ? error.message : String(error))
            process.stdout.write(`failed\n${failures.at(-1)!}\n`)
          }
        }
      }
    }
    return measured
  } finally {
    lab.down()
    remove()
  }
}
