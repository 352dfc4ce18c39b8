import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { runCommand } from '../../test/lab/command.ts'
import { peerVersions } from '../../test/lab/peers.ts'

/** Where, when and with what figures were measured. */
export interface Environment {
  /** ISO 8601, UTC. */
  readonly date: string
  /** As a person would type it. */
  readonly command: string
  /** Of the working tree, `-dirty` when files that git knows had been changed. */
  readonly commit: string
  readonly kernel: string
  readonly processor: string
  readonly processorCount: number
  readonly memoryBytes: number
  /** Processes that wanted a processor in the minute before, on average: what else the machine was busy with. */
  readonly loadBefore: number
  /** Program → version. */
  readonly versions: Readonly<Record<string, string>>
}

/** @param command what started this process */
export function readEnvironment(command: string): Environment {
  const root = join(import.meta.dirname, '../..')
  const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly version: string }
  return {
    date: new Date().toISOString(),
    command,
    commit: runCommand('git', ['-C', root, 'describe', '--always', '--dirty', '--abbrev=10', '--exclude=*']).trim(),
    kernel: release(),
    processor: cpus()[0]?.model ?? 'unknown',
    processorCount: availableParallelism(),
    memoryBytes: totalmem(),
    loadBefore: loadavg()[0]!,
    versions: { skilfish: own.version, node: process.versions.node, ...peerVersions() },
  }
}
