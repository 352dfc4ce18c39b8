// What a group key and signatures cost: transfers without and with them, in turn, in the same lab.  npm run bench:trust
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import type { SendResult } from '../src/index.ts'
import { runCommand } from '../test/lab/command.ts'
import { requireIdentical, writeRandomImage } from '../test/lab/images.ts'
import { Lab } from '../test/lab/lab.ts'
import { measureTransfer } from '../test/lab/measured-transfer.ts'
import { formatEnvironment, readEnvironment } from './environment.ts'
import { fixed, megabits, shown, table } from './figures.ts'
import { makeMemoryFolder } from './memory-folder.ts'
import { whole } from './options.ts'
import { spreadOf } from './peers/statistics.ts'
import { writeReport } from './report.ts'

const PROGRAMS = join(import.meta.dirname, '../dist/cli')

/** Many times what the slowest transfer takes. */
const TIMEOUT_MS = 120_000

interface Mode {
  readonly name: string
  readonly send: readonly string[]
  readonly receive: readonly string[]
  /** Least throughput, as a share of that of an open session. */
  readonly bar?: number
}

interface Run {
  readonly bitsPerSec: number
  /** Processor time of the sender and of all receivers together, seconds. */
  readonly cpuSeconds: number
}

const program = new Command('npm run bench:trust --')
  .description(
    'Measures what --key-file and --sign-key cost, in a lab of network namespaces. Needs root. The exit status is 1 when a bar is missed.',
  )
  .option('--rounds <N>', 'how often each case runs', whole(1, 100), 5)
  .option('--receivers <N>', 'hosts that receive', whole(1, 16), 4)
  .option('--mib <N>', 'size of the random image in MiB', whole(16, 4096), 256)
  .option('--out <FOLDER>', 'where trust.md goes', join(import.meta.dirname, 'results'))
  .parse()

await main(program.opts())

async function main(options: { rounds: number; receivers: number; mib: number; out: string }): Promise<void> {
  const missing = Lab.missing()
  if (missing.length > 0) program.error(`error: the benchmark needs ${missing.join('; ')}`)
  const environment = readEnvironment('bench:trust')
  const { path: folder, remove } = makeMemoryFolder('trust')
  const lab = Lab.up({ receiverCount: options.receivers, mtuBytes: 1500 })
  try {
    const modes = planModes(folder)
    const source = join(folder, 'image')
    await writeRandomImage(source, options.mib * 1024 ** 2, 1)
    const runs = modes.map((): Run[] => [])
    for (let round = 1; round <= options.rounds; round++) {
      for (const [index, mode] of modes.entries()) {
        const run = await transfer(lab, folder, source, mode)
        runs[index]!.push(run)
        process.stdout.write(`round ${round}: ${mode.name}: ${megabits(run.bitsPerSec)} Mbit/s\n`)
      }
    }
    const { text, isMet } = report(modes, runs)
    const page = `# What keys and signatures cost

Written by \`${environment.command}\`. ${options.receivers} receivers, ${options.mib} MiB of random data, MTU 1500, ${options.rounds} rounds in which the cases take
turns: median [least–most]. Ratios are of one round each. All hosts share the processors, so throughput is what processors allow.

${formatEnvironment(environment)}

${text}
`
    writeReport(options.out, 'trust', { page })
    process.stdout.write(`\n${page}\nWritten to ${options.out}\n`)
    if (!isMet) process.exitCode = 1
  } finally {
    lab.down()
    remove()
  }
}

function planModes(folder: string): Mode[] {
  const [groupKey, signKey] = [join(folder, 'group.key'), join(folder, 'golden.key')]
  runCommand(process.execPath, [join(PROGRAMS, 'keygen.js'), '--quiet', groupKey])
  runCommand(process.execPath, [join(PROGRAMS, 'keygen.js'), '--quiet', '--sign', signKey])
  const key = ['--key-file', groupKey]
  const [sign, verify] = [
    ['--sign-key', signKey],
    ['--verify-key', `${signKey}.pub`],
  ] as const
  return [
    { name: 'open', send: [], receive: [] },
    { name: '`--key-file`', send: key, receive: key, bar: 0.85 },
    { name: '`--sign-key`', send: sign, receive: verify, bar: 0.9 },
    { name: 'both', send: [...key, ...sign], receive: [...key, ...verify] },
  ]
}

/** @throws Error when a process fails, the time is up, or a copy differs from the source */
async function transfer(lab: Lab, folder: string, source: string, mode: Mode): Promise<Run> {
  const copies = lab.receivers.map((_, index) => join(folder, `copy-${index}`))
  const common = ['--json', '--quiet', '--interface', 'eth0']
  const send = [...common, '--no-keyboard', '--min-receivers', String(copies.length), ...mode.send, source]
  try {
    const figures = await measureTransfer(lab, {
      sender: { command: process.execPath, args: [join(PROGRAMS, 'send.js'), ...send] },
      receivers: copies.map((path) => {
        return { command: process.execPath, args: [join(PROGRAMS, 'recv.js'), ...common, ...mode.receive, path] }
      }),
      timeoutMs: TIMEOUT_MS,
    })
    for (const path of copies) await requireIdentical(source, path)
    const line = figures.sender.output.split('\n').findLast((text) => text.startsWith('{"type":"result"'))
    const { dataBytes, transferMs } = JSON.parse(line ?? '{}') as SendResult
    const processes = [figures.sender, ...figures.receivers]
    const cpuSeconds = processes.reduce((sum, { userSeconds, systemSeconds }) => sum + userSeconds + systemSeconds, 0)
    return { bitsPerSec: (dataBytes * 8000) / transferMs, cpuSeconds }
  } finally {
    for (const path of copies) rmSync(path, { force: true })
  }
}

function report(modes: readonly Mode[], runs: readonly (readonly Run[])[]): { text: string; isMet: boolean } {
  let isMet = true
  const rows = modes.map(({ name, bar }, index) => {
    const ratios = runs[index]!.map(({ bitsPerSec }, round) => bitsPerSec / runs[0]![round]!.bitsPerSec)
    const cpuRatios = runs[index]!.map(({ cpuSeconds }, round) => cpuSeconds / runs[0]![round]!.cpuSeconds)
    const ratio = spreadOf(ratios)
    const verdict = bar === undefined ? '' : `${ratio.median >= bar ? 'met' : 'missed'} (${bar})`
    if (verdict.startsWith('missed')) isMet = false
    const rates = spreadOf(runs[index]!.map(({ bitsPerSec }) => bitsPerSec))
    return [name, shown(rates, megabits), shown(ratio, fixed), verdict, shown(spreadOf(cpuRatios), fixed)]
  })
  const head = ['Session', 'Throughput, Mbit/s', 'Throughput / open', 'Bar', 'Processor time / open']
  return { text: table(head, rows), isMet }
}
