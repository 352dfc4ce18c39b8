// What a commit takes: ways to write an overlay back to its clone on Ceph, in turn, on the same cluster.  npm run bench:commit
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { missingPackages, runCommand } from '../test/lab/command.ts'
import { Field } from './commit/field.ts'
import { WAYS, type Way } from './commit/ways.ts'
import { readEnvironment } from './peers/environment.ts'
import { spreadOf, type Spread } from './peers/statistics.ts'

const PACKAGES = {
  'ceph-common': ['rbd', 'ceph'],
  'ceph-mon': ['ceph-mon'],
  'ceph-osd': ['ceph-osd'],
  'rbd-fuse': ['rbd-fuse'],
  'qemu-utils': ['qemu-img', 'qemu-io'],
  'qemu-system-common': ['qemu-storage-daemon'],
}

/** A commit is to be this many times as fast as the paper's. */
const BAR = 4

interface Options {
  readonly rounds: number
  readonly vms: number
  readonly paperVms: number
  readonly mib: number
  readonly disk: number
  readonly ways?: readonly Way[]
  readonly out: string
}

/** Of one way in one round, seconds. */
interface Run {
  /** Each virtual machine by itself. */
  readonly singleSeconds: readonly number[]
  /** All of them at the same time; undefined when there is one. */
  readonly togetherSeconds: number | undefined
}

const program = new Command('npm run bench:commit --')
  .description(
    'Measures ways to write overlays back to their clones on a Ceph cluster of one OSD. Needs root, for rbd-fuse. The exit status is 1 ' +
      `when none is ${BAR} times as fast as the paper's.`,
  )
  .option('--rounds <N>', 'how often each case runs', whole(1, 100), 3)
  .option('--vms <N>', 'virtual machines, one after another and together', whole(1, 16), 4)
  .option('--paper-vms <N>', "the same for the paper's way, which takes long", whole(1, 16), 1)
  .option('--mib <N>', 'size of an overlay in MiB', whole(1, 4096), 512)
  .option('--disk <N>', 'size of a disk in MiB', whole(1, 65_536), 2048)
  .option('--ways <NAMES>', `of ${WAYS.map(({ name }) => name).join(', ')}, with commas between [all]`, parseWays)
  .option('--out <FOLDER>', 'where commit.md and commit.json go', join(import.meta.dirname, 'results'))
  .parse()

await main(program.opts())

async function main(options: Options): Promise<void> {
  const missing = missingPackages(PACKAGES)
  if (missing.length > 0) program.error(`error: the benchmark needs ${missing.join('; ')}`)
  if (options.mib > options.disk) program.error('error: an overlay must not be larger than its disk')
  const environment = readEnvironment(['npm run bench:commit --', ...process.argv.slice(2)].join(' '))
  const { ways = WAYS, rounds, mib, disk } = options
  const runs = ways.map((): Run[] => [])
  const vmCount = Math.max(options.vms, options.paperVms)
  const field = await Field.up({ vmCount, diskMib: disk, overlayMib: mib })
  try {
    for (let round = 1; round <= rounds; round++) {
      // Each way is the first once: what a round leaves behind meets all of them alike.
      for (let turn = 0; turn < ways.length; turn++) {
        const index = (turn + round - 1) % ways.length
        const way = ways[index]!
        const run = await measure(field, way, way.name === 'paper' ? options.paperVms : options.vms)
        runs[index]!.push(run)
        const together = run.togetherSeconds === undefined ? '' : `, together ${seconds(run.togetherSeconds)}`
        process.stdout.write(`round ${round}: ${way.name}: ${run.singleSeconds.map(seconds).join(' ')} s${together}\n`)
      }
    }
  } finally {
    await field.down()
  }
  const { date, commit, processor, processorCount, kernel, loadBefore, versions, command } = environment
  const { text, best } = report(ways, runs, mib)
  const [qemu, ceph] = [firstLine('qemu-img', '--version'), firstLine('ceph', '--version')]
  const page = `# What a commit takes

Written by \`${command}\`. Overlays of ${mib} MiB, in pieces of 256 KiB anywhere on a disk of ${disk / 1024} GiB, written back to clones
of a template of which half is data, on one OSD. ${rounds} ${rounds === 1 ? 'round' : 'rounds'} in which the ways take turns: median [least–most]; ratios are of one
round each. Every clone was compared with its overlay afterwards. All is on one machine, so what is compared is what each way costs.

- Date: ${date}
- Commit: ${commit}
- Machine: ${processorCount} × ${processor}, Linux ${kernel}, load before the first run ${loadBefore.toFixed(1)}
- Versions: skilfish ${versions['skilfish'] ?? '?'}, node ${versions['node'] ?? '?'}, ${qemu}, ${ceph}

${text}`
  mkdirSync(options.out, { recursive: true })
  const results = ways.map(({ name }, index) => ({ name, runs: runs[index] }))
  const figures = { environment: { ...environment, versions: { ...versions, qemu, ceph } }, options, results }
  writeFileSync(join(options.out, 'commit.json'), `${JSON.stringify(figures, undefined, 2)}\n`)
  writeFileSync(join(options.out, 'commit.md'), page)
  process.stdout.write(`\n${page}\nWritten to ${options.out}\n`)
  // Without the paper's way there is nothing to compare with.
  if (best < BAR) process.exitCode = 1
}

async function measure(field: Field, way: Way, vmCount: number): Promise<Run> {
  const singles = await field.prepare(vmCount, way.needsFuse)
  const singleSeconds: number[] = []
  for (const commit of singles) singleSeconds.push(await timed(() => way.commit(commit)))
  await field.finish(singles)
  if (vmCount === 1) return { singleSeconds, togetherSeconds: undefined }
  const together = await field.prepare(vmCount, way.needsFuse)
  const togetherSeconds = await timed(() => Promise.all(together.map((commit) => way.commit(commit))))
  await field.finish(together)
  return { singleSeconds, togetherSeconds }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAtMs = performance.now()
  await work()
  return (performance.now() - startedAtMs) / 1000
}

/** @returns the table, and how many times as fast as the paper's the best way is; NaN when the paper's was not measured */
function report(ways: readonly Way[], runs: readonly (readonly Run[])[], mib: number): { text: string; best: number } {
  const oneOf = ({ singleSeconds }: Run): number => spreadOf(singleSeconds).median
  const paper = runs[ways.findIndex(({ name }) => name === 'paper')]
  const ratios = runs.map((all) => spreadOf(all.map((run, round) => oneOf(paper?.[round] ?? run) / oneOf(run))))
  const most = Math.max(...runs.map((all) => all[0]!.singleSeconds.length))
  const rows = ways.map(({ name, text }, index) => {
    const all = runs[index]!
    const one = spreadOf(all.map(oneOf))
    const serial = spreadOf(all.map(({ singleSeconds }) => singleSeconds.reduce((sum, value) => sum + value, 0)))
    const parallel = spreadOf(all.map(({ togetherSeconds }) => togetherSeconds ?? NaN))
    const cells = [name, text, shown(one, seconds), (mib / one.median).toFixed(0)]
    cells.push(paper === undefined ? '–' : shown(ratios[index]!, seconds))
    const count = all[0]!.singleSeconds.length
    if (most > 1) cells.push(...(count === 1 ? ['–', '–'] : [shown(serial, seconds), shown(parallel, seconds)]))
    return cells.join(' | ')
  })
  const several = most > 1 ? ` | ${most} one after another, s | ${most} together, s` : ''
  const head = `Name | Way | One, s | MiB/s | As fast as the paper's${several}`
  const lines = [head, head.replace(/[^|]+/g, ' --- ').trim(), ...rows].map((row) => `| ${row} |`)
  const best = paper === undefined ? NaN : Math.max(...ratios.map(({ median }) => median))
  return { text: `${lines.join('\n')}\n`, best }
}

function seconds(value: number): string {
  return value.toFixed(2)
}

function shown({ median, min, max }: Spread, format: (value: number) => string): string {
  return `${format(median)} [${format(min)}–${format(max)}]`
}

function firstLine(command: string, argument: string): string {
  return runCommand(command, [argument]).split('\n')[0]!.replace(/ \(.*/, '')
}

function parseWays(text: string): readonly Way[] {
  return text.split(',').map((name) => {
    const way = WAYS.find((one) => one.name === name)
    if (way === undefined) throw new InvalidArgumentError(`There is no way ${name}.`)
    return way
  })
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
    return value
  }
}
