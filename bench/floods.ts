// What strangers cost a session without a key: transfers without and with floods, in turn, in the same lab.  npm run bench:floods
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { FLOODS, startFlood, type Flood } from '../test/lab/floods.ts'
import { requireIdentical, writeRandomImage } from '../test/lab/images.ts'
import { Lab } from '../test/lab/lab.ts'
import { startReceiver, startSender } from '../test/lab/skilfish-process.ts'
import { formatEnvironment, readEnvironment } from './environment.ts'
import { fixed, megabits, shown, table } from './figures.ts'
import { makeMemoryFolder } from './memory-folder.ts'
import { whole } from './options.ts'
import { spreadOf } from './peers/statistics.ts'
import { writeReport } from './report.ts'

/** Least throughput of honest receivers, as a share of that without strangers. */
const BAR = 0.5

const program = new Command('npm run bench:floods --')
  .description(
    'Measures what floods of garbage, joins and NACKs cost honest receivers of a session without a key, in a lab of network ' +
      'namespaces. Needs root. The exit status is 1 when less than half of the throughput is left.',
  )
  .option('--rounds <N>', 'how often each case runs', whole(1, 100), 3)
  .option('--receivers <N>', 'hosts that receive', whole(1, 16), 2)
  .option('--mib <N>', 'size of the random image in MiB', whole(16, 4096), 64)
  .option('--rate <RATE>', 'cap over what the sender sends', '100M')
  .option('--out <FOLDER>', 'where floods.md goes', join(import.meta.dirname, 'results'))
  .parse()

await main(program.opts())

interface Options {
  readonly rounds: number
  readonly receivers: number
  readonly mib: number
  readonly rate: string
  readonly out: string
}

async function main(options: Options): Promise<void> {
  const missing = Lab.missing()
  if (missing.length > 0) program.error(`error: the benchmark needs ${missing.join('; ')}`)
  const environment = readEnvironment('bench:floods')
  const { path: folder, remove } = makeMemoryFolder('floods')
  const lab = Lab.up({ receiverCount: options.receivers + 1, mtuBytes: 1500 })
  try {
    const source = join(folder, 'image')
    await writeRandomImage(source, options.mib * 1024 ** 2, 1)
    const cases = [undefined, ...FLOODS]
    const bitsPerSec = cases.map((): number[] => [])
    for (let round = 1; round <= options.rounds; round++) {
      for (const [index, flood] of cases.entries()) {
        const rate = await transfer(lab, folder, source, options, flood)
        bitsPerSec[index]!.push(rate)
        process.stdout.write(`round ${round}: ${flood?.name ?? 'no flood'}: ${megabits(rate)} Mbit/s\n`)
      }
    }
    const ratios = bitsPerSec.map((rates) => spreadOf(rates.map((rate, round) => rate / bitsPerSec[0]![round]!)))
    const rows = cases.map((flood, index) => {
      const ratio = ratios[index]!
      const verdict = flood === undefined ? '' : `${ratio.median >= BAR ? 'met' : 'missed'} (${BAR})`
      const perSecond = flood === undefined ? '' : String(flood.perSecond)
      const rates = shown(spreadOf(bitsPerSec[index]!), megabits)
      return [flood?.name ?? 'none', perSecond, rates, shown(ratio, fixed), verdict]
    })
    const head = ['Flood', 'Packets a second', 'Throughput, Mbit/s', 'Throughput / undisturbed', 'Bar']
    const page = `# What strangers cost a session without a key

Written by \`${environment.command}\`. ${options.receivers} receivers and a stranger, ${options.mib} MiB of random data, MTU 1500, at most ${options.rate}bit/s,
${options.rounds} rounds in which the cases take turns: median [least–most]. Throughput is that of the last honest receiver, from its first packet
to its last; every copy was compared. Ratios are of one round each. The stranger runs on the same processors.

${formatEnvironment(environment)}

${table(head, rows)}
`
    writeReport(options.out, 'floods', { page })
    process.stdout.write(`\n${page}\nWritten to ${options.out}\n`)
    if (ratios.some(({ median }) => median < BAR)) process.exitCode = 1
  } finally {
    lab.down()
    remove()
  }
}

/**
 * @returns bits per second of the last honest receiver
 * @throws Error when a receiver fails or a copy differs from the source
 */
async function transfer(
  lab: Lab,
  folder: string,
  source: string,
  { receivers, rate }: Options,
  flood: Flood | undefined,
): Promise<number> {
  const copies = Array.from({ length: receivers }, (_, index) => join(folder, `copy-${index}`))
  const endFlood = flood && (await startFlood(lab, receivers + 1, flood))
  try {
    const running = copies.map((path, index) => startReceiver(lab, index + 1, [path]))
    const options = ['--min-receivers', String(receivers), '--receiver-timeout', '5', '--max-bitrate', rate]
    const sender = startSender(lab, [...options, source])
    const received = await Promise.all(running.map(({ ended }) => ended))
    await endFlood?.()
    // Its status tells of the made-up receivers, which never finish.
    await sender.ended
    const results = received.map(({ result, stderr }) => {
      if (result === undefined) throw new Error(`a receiver failed: ${stderr}`)
      return result
    })
    for (const path of copies) await requireIdentical(source, path)
    return Math.min(...results.map(({ dataBytes, transferMs }) => (dataBytes * 8000) / transferMs))
  } finally {
    for (const path of copies) rmSync(path, { force: true })
  }
}
