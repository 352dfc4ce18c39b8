// What a commit takes: ways to write an overlay back to its clone on Ceph, in turn, on the same cluster.  npm run bench:commit
import { join } from 'node:path'
import { Command } from 'commander'
import { missingPackages } from '../test/lab/command.ts'
import { Field } from './commit/field.ts'
import { WAYS, type Way } from './commit/ways.ts'
import { formatEnvironment, readEnvironment, versionOf } from './environment.ts'
import { fixed, shown, table } from './figures.ts'
import { someOf, whole } from './options.ts'
import { spreadOf } from './peers/statistics.ts'
import { writeReport } from './report.ts'

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
  .option(
    '--ways <NAMES>',
    `of ${WAYS.map(({ name }) => name).join(', ')}, with commas between [all]`,
    someOf('way', WAYS),
  )
  .option('--out <FOLDER>', 'where commit.md and commit.json go', join(import.meta.dirname, 'results'))
  .parse()

await main(program.opts())

async function main(options: Options): Promise<void> {
  const missing = missingPackages(PACKAGES)
  if (missing.length > 0) program.error(`error: the benchmark needs ${missing.join('; ')}`)
  if (options.mib > options.disk) program.error('error: an overlay must not be larger than its disk')
  const versions = { 'qemu-img': versionOf('qemu-img'), ceph: versionOf('ceph') }
  const environment = readEnvironment('bench:commit', versions)
  const { ways = WAYS, rounds, mib, disk } = options
  const { out, ...settings } = options
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
        const together = run.togetherSeconds === undefined ? '' : `, together ${fixed(run.togetherSeconds)}`
        process.stdout.write(`round ${round}: ${way.name}: ${run.singleSeconds.map(fixed).join(' ')} s${together}\n`)
      }
    }
  } finally {
    await field.down()
  }
  const { text, best } = report(ways, runs, mib)
  const page = `# What a commit takes

Written by \`${environment.command}\`. Overlays of ${mib} MiB, in pieces of 256 KiB anywhere on a disk of ${disk / 1024} GiB, written back to clones
of a template of which half is data, on one OSD. ${rounds} ${rounds === 1 ? 'round' : 'rounds'} in which the ways take turns: median [least–most]; ratios are of one
round each. Every clone was compared with its overlay afterwards. All is on one machine, so what is compared is what each way costs.

${formatEnvironment(environment)}

${text}
`
  const results = ways.map(({ name }, index) => ({ name, runs: runs[index] }))
  // Where the report lies is nobody else's matter.
  writeReport(out, 'commit', { page, figures: { environment, options: settings, results } })
  process.stdout.write(`\n${page}\nWritten to ${out}\n`)
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
  const sumOf = ({ singleSeconds }: Run): number => singleSeconds.reduce((sum, value) => sum + value, 0)
  const paper = runs[ways.findIndex(({ name }) => name === 'paper')]
  const ratios = runs.map((all) =>
    spreadOf(all.map((run, round) => (paper === undefined ? NaN : oneOf(paper[round]!)) / oneOf(run))),
  )
  const most = Math.max(...runs.map((all) => all[0]!.singleSeconds.length))
  const rows = ways.map(({ name, text }, index) => {
    const all = runs[index]!
    const one = spreadOf(all.map(oneOf))
    const cells = [name, text, shown(one, fixed), (mib / one.median).toFixed(0), shown(ratios[index]!, fixed)]
    if (most === 1) return cells
    const several = all.filter(({ togetherSeconds }) => togetherSeconds !== undefined)
    const together = several.map(({ togetherSeconds = NaN }) => togetherSeconds)
    return [...cells, shown(spreadOf(several.map(sumOf)), fixed), shown(spreadOf(together), fixed)]
  })
  const head = ['Name', 'Way', 'One, s', 'MiB/s', "As fast as the paper's"]
  if (most > 1) head.push(`${most} one after another, s`, `${most} together, s`)
  return { text: table(head, rows), best: Math.max(...ratios.map(({ median }) => median)) }
}
