// The long run of the fuzz targets, guided by coverage.  npm run fuzz -- --help
import { Command } from 'commander'
import { Coverage } from './coverage.ts'
import { readCorpus, writeCorpus } from './corpus.ts'
import { fuzz, FuzzFailure, type FuzzTarget } from './fuzz.ts'
import { targets } from './targets.ts'

const options = new Command('npm run fuzz --')
  .description('Feeds every decoder and both machines with mutations of real messages, and keeps what reaches new code')
  .option('--target <name...>', `only these: ${targets.map(({ name }) => name).join(', ')}`)
  .option('--packets <count>', 'packets for each target', Number, 10_000_000)
  .option('--seconds <count>', 'but no longer than this for each', Number, Infinity)
  .option('--seed <number>', 'of the mutations', Number, Date.now() % 1_000_000)
  .option('--input <hex>', 'take this one input alone, as a failure tells it')
  .option('--keep', 'write what was found, minimised, to test/fuzz/corpus')
  .parse()
  .opts<{ target?: string[]; packets: number; seconds: number; seed: number; input?: string; keep?: true }>()

const chosen = targets.filter(({ name }) => options.target?.includes(name) ?? true)
if (options.input === undefined) console.log(`seed ${options.seed}`)
for (const target of chosen) await (options.input === undefined ? run(target) : replay(target, options.input))

/** Takes one input as it is: what it throws comes with its stack. */
async function replay(target: FuzzTarget, hex: string): Promise<void> {
  await target.run(Uint8Array.from(Buffer.from(hex, 'hex')))
  console.log(`${target.name}: does no harm`)
}

async function run(target: FuzzTarget): Promise<void> {
  // Most inputs are refused with an error, of which the stack would cost more than all the rest; --input tells it.
  Error.stackTraceLimit = 0
  const coverage = new Coverage()
  try {
    const known = readCorpus(target)
    const { packets, inputs, elapsedMs, corpus } = await fuzz(target, known, { ...options, coverage })
    const perSec = Math.round((packets * 1000) / elapsedMs)
    const memoryMib = Math.round(process.memoryUsage().rss / 1_048_576)
    const found = corpus.length - known.length
    console.log(
      `${target.name}: ${packets} packets in ${inputs} inputs, ${perSec} a second, ${coverage.knownCount} characters of code, ` +
        `${found} inputs found, ${memoryMib} MiB`,
    )
    if (options.keep) writeCorpus(target, await minimised(target, corpus))
  } catch (error) {
    if (!(error instanceof FuzzFailure)) throw error
    console.error(error.message, error.cause)
    process.exitCode = 1
  } finally {
    coverage.stop()
  }
}

/** Of a corpus, what reaches something that the real messages and those before do not. */
async function minimised(target: FuzzTarget, corpus: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const coverage = new Coverage()
  const seeds = target.seeds()
  for (const seed of seeds) await target.run(seed)
  coverage.know(coverage.takeNew())
  const kept: Uint8Array[] = []
  for (const input of corpus.slice(seeds.length).sort((a, b) => a.length - b.length)) {
    await target.run(input)
    const fresh = coverage.takeNew()
    coverage.know(fresh)
    if (fresh.length > 0) kept.push(input)
  }
  coverage.stop()
  return kept
}
