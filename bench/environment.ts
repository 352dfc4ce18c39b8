import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { runCommand } from '../test/lab/command.ts'

/** When and of what a study was made. To one in virtual time the machine is of no account. */
export interface StudyEnvironment {
  /** ISO 8601, UTC. */
  readonly date: string
  /** As a person would type it. */
  readonly command: string
  /** Of the working tree, `-dirty` when files that git knows had been changed. */
  readonly commit: string
  /** Program → version. */
  readonly versions: Readonly<Record<string, string>>
}

/** Where, too, figures were measured. */
export interface Environment extends StudyEnvironment {
  readonly kernel: string
  readonly processor: string
  readonly processorCount: number
  readonly memoryBytes: number
  /** Processes that wanted a processor in the minute before, on average: what else the machine was busy with. */
  readonly loadBefore: number
}

/** @param script of npm that started this process */
export function readStudyEnvironment(script: string): StudyEnvironment {
  const root = join(import.meta.dirname, '..')
  const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly version: string }
  const args = process.argv.slice(2)
  return {
    date: new Date().toISOString(),
    command: ['npm run', script, ...(args.length > 0 ? ['--', ...args] : [])].join(' '),
    commit: runCommand('git', ['-C', root, 'describe', '--always', '--dirty', '--abbrev=10', '--exclude=*']).trim(),
    versions: { skilfish: own.version, node: process.versions.node },
  }
}

/** @param script of npm that started this process @param versions of other programs that take part */
export function readEnvironment(script: string, versions: Readonly<Record<string, string>> = {}): Environment {
  const study = readStudyEnvironment(script)
  return {
    ...study,
    kernel: release(),
    processor: cpus()[0]?.model ?? 'unknown',
    processorCount: availableParallelism(),
    memoryBytes: totalmem(),
    loadBefore: loadavg()[0]!,
    versions: { ...study.versions, ...versions },
  }
}

/** The version that a program tells of itself. */
export function versionOf(program: string): string {
  const text = runCommand(program, ['--version'])
  return /\d+(\.\d+)+/.exec(text)?.[0] ?? 'unknown'
}

/** A list of Markdown. */
export function formatEnvironment(environment: StudyEnvironment | Environment): string {
  const { date, commit, versions } = environment
  const all = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return [
    `- Date: ${date}`,
    `- Commit: ${commit}`,
    ...('kernel' in environment ? [`- Machine: ${formatMachine(environment)}`] : []),
    `- Versions: ${all.join(', ')}`,
  ].join('\n')
}

function formatMachine({ processorCount, processor, memoryBytes, kernel, loadBefore }: Environment): string {
  const machine = `${processorCount} × ${processor}, ${(memoryBytes / 1024 ** 3).toFixed(0)} GiB, Linux ${kernel}`
  return `${machine}, load before the first run ${loadBefore.toFixed(1)}`
}
