import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from '../../test/lab/command.ts'

/** What a study in virtual time depends on, and when it ran. The machine is of no account. */
export interface Environment {
  /** ISO 8601, UTC. */
  readonly date: string
  /** As a person would type it. */
  readonly command: string
  /** Of the working tree, `-dirty` when files that git knows had been changed. */
  readonly commit: string
  /** Program → version. */
  readonly versions: Readonly<Record<'skilfish' | 'node', string>>
}

/** @param command what started this process */
export function readEnvironment(command: string): Environment {
  const root = join(import.meta.dirname, '../..')
  const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly version: string }
  return {
    date: new Date().toISOString(),
    command,
    commit: runCommand('git', ['-C', root, 'describe', '--always', '--dirty', '--abbrev=10', '--exclude=*']).trim(),
    versions: { skilfish: own.version, node: process.versions.node },
  }
}
