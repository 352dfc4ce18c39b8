// What the deployer takes and costs, on real Ceph and real QEMU in a lab on this machine.  npm run bench:deployer
import { join } from 'node:path'
import { Command } from 'commander'
import { commits } from './deployer/commits.ts'
import { guestIo } from './deployer/guest-io.ts'
import { start } from './deployer/start.ts'
import { storageReads } from './deployer/storage-reads.ts'
import type { Study } from './deployer/study.ts'
import { switching } from './deployer/switching.ts'
import { formatEnvironment, readEnvironment, versionOf } from './environment.ts'
import { table } from './figures.ts'
import { someOf, whole } from './options.ts'
import type { Verdict } from './peers/verdict.ts'
import { writeReport } from './report.ts'
import { guestFiles } from '../test/lab/guest.ts'

const STUDIES: readonly Study[] = [switching, storageReads, guestIo, start, commits]

interface Options {
  readonly only?: readonly Study[]
  readonly rounds: number
  readonly mib: number
  readonly out: string
}

const program = new Command('npm run bench:deployer --')
  .description(
    'Measures the deployer on a Ceph cluster of one OSD and hosts of a lab. Needs root. The exit status is 1 when a bar is missed.\n\n' +
      STUDIES.map(({ name, text }) => `${name}: ${text}`).join('\n'),
  )
  .option(
    '--only <NAMES>',
    `of ${STUDIES.map(({ name }) => name).join(', ')}, with commas between [all]`,
    someOf('study', STUDIES),
  )
  .option('--rounds <N>', 'how often each is measured; a round has four single switches', whole(1, 100), 5)
  .option('--mib <N>', 'size of a disk in MiB', whole(16, 4096), 256)
  .option('--out <FOLDER>', 'where deployer-NAME.md and .json go', join(import.meta.dirname, 'results'))
  .parse()

await main(program.opts())

async function main({ only = STUDIES, rounds, mib, out }: Options): Promise<void> {
  const versions = { 'qemu-system-x86_64': versionOf('qemu-system-x86_64'), ceph: versionOf('ceph') }
  guestFiles()
  for (const study of only) {
    const environment = readEnvironment('bench:deployer', versions)
    const { heading, method, rows, verdicts, figures } = await study.run({
      ...{ rounds, mib },
      say: (line) => process.stdout.write(`${line}\n`),
    })
    const [head = [], ...body] = rows
    const page = `# ${heading}

Written by \`${environment.command}\`. ${rounds} ${rounds === 1 ? 'round' : 'rounds'}: median [least–most].

${formatEnvironment(environment)}

${method}

${table(head, body)}

## Bars

${verdicts.length === 0 ? 'None.' : table(['What', 'Measured', 'Wanted', 'Met'], verdicts.map(verdictRow))}
`
    // Each at once: what fails later takes nothing of it away.
    writeReport(out, `deployer-${study.name}`, { page, figures: { environment, figures } })
    process.stdout.write(`\n${page}\n`)
    if (verdicts.some(({ isMet }) => isMet === false)) process.exitCode = 1
  }
  process.stdout.write(`Written to ${out}\n`)
}

function verdictRow({ label, measured, unit, bound, isMet }: Verdict): string[] {
  const digits = unit === '×' ? 2 : unit === '%' ? 1 : 0
  const wanted = bound === undefined ? '' : 'atLeast' in bound ? `at least ${bound.atLeast}` : `at most ${bound.atMost}`
  return [label, `${measured.toFixed(digits)} ${unit}`, `${wanted} ${unit}`, isMet === true ? 'yes' : '**no**']
}
