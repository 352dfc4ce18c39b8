// What the deployer takes and costs, on real Ceph and real QEMU in a lab on this machine.  npm run bench:deployer
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { guestIo } from './deployer/guest-io.ts'
import { start } from './deployer/start.ts'
import { storageReads } from './deployer/storage-reads.ts'
import type { Finding, Study } from './deployer/study.ts'
import { switching } from './deployer/switching.ts'
import { table, whole } from './figures.ts'
import { readEnvironment } from './peers/environment.ts'
import type { Verdict } from './peers/verdict.ts'
import { runCommand } from '../test/lab/command.ts'
import { guestFiles } from '../test/lab/guest.ts'

const STUDIES: readonly Study[] = [switching, storageReads, guestIo, start]

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
    `of ${STUDIES.map(({ name }) => name).join(', ')}, with commas between`,
    parseNames,
    STUDIES,
  )
  .option('--rounds <N>', 'how often each is measured; a round has four single switches', whole(1, 100), 5)
  .option('--mib <N>', 'size of a disk in MiB', whole(16, 4096), 256)
  .option('--out <FOLDER>', 'where deployer.md and deployer.json go', join(import.meta.dirname, 'results'))
  .parse()

await main(program.opts())

async function main({ only = STUDIES, rounds, mib, out }: Options): Promise<void> {
  const environment = readEnvironment(['npm run bench:deployer --', ...process.argv.slice(2)].join(' '))
  guestFiles()
  const findings: Finding[] = []
  for (const study of only) {
    findings.push(await study.run({ rounds, mib, say: (line) => process.stdout.write(`${line}\n`) }))
  }
  const verdicts = findings.flatMap((finding) => finding.verdicts)
  const [qemu, ceph] = [firstLine('qemu-system-x86_64'), firstLine('ceph')]
  const { date, commit, processor, processorCount, kernel, loadBefore, versions, command } = environment
  const page = `# What the deployer takes

Written by \`${command}\`. ${rounds} ${rounds === 1 ? 'round' : 'rounds'}: median [least–most].

- Date: ${date}
- Commit: ${commit}
- Machine: ${processorCount} × ${processor}, Linux ${kernel}, load before the first run ${loadBefore.toFixed(1)}
- Versions: skilfish ${versions['skilfish'] ?? '?'}, node ${versions['node'] ?? '?'}, ${qemu}, ${ceph}

## Bars

${table([['What', 'Measured', 'Wanted', 'Met'], ...verdicts.map(verdictRow)])}
${findings.map(({ heading, method, rows }) => `## ${heading}\n\n${method}\n\n${table(rows)}`).join('\n')}`
  mkdirSync(out, { recursive: true })
  const figures = Object.fromEntries(only.map(({ name }, index) => [name, findings[index]!.figures]))
  writeFileSync(join(out, 'deployer.json'), `${JSON.stringify({ environment, figures }, undefined, 2)}\n`)
  writeFileSync(join(out, 'deployer.md'), page)
  process.stdout.write(`\n${page}\nWritten to ${out}\n`)
  if (verdicts.some(({ isMet }) => isMet === false)) process.exitCode = 1
}

function verdictRow({ label, measured, unit, bound, isMet }: Verdict): string[] {
  const digits = unit === '×' ? 2 : unit === '%' ? 1 : 0
  const wanted = bound === undefined ? '' : 'atLeast' in bound ? `at least ${bound.atLeast}` : `at most ${bound.atMost}`
  return [label, `${measured.toFixed(digits)} ${unit}`, `${wanted} ${unit}`, isMet === true ? 'yes' : '**no**']
}

function firstLine(command: string): string {
  return runCommand(command, ['--version']).split('\n')[0]!.replace(/ \(.*/, '')
}

function parseNames(text: string): readonly Study[] {
  return text.split(',').map((name) => {
    const study = STUDIES.find((one) => one.name === name)
    if (study === undefined) throw new InvalidArgumentError(`There is no study ${JSON.stringify(name)}.`)
    return study
  })
}
