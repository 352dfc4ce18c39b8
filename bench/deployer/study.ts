import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { TestCluster } from '../../test/lab/test-cluster.ts'
import type { Verdict } from '../peers/verdict.ts'

export interface StudyOptions {
  readonly rounds: number
  /** Size of the disks, MiB. */
  readonly mib: number
  /** Tells how far it is, a line each. */
  readonly say: (line: string) => void
}

/** What a study found. */
export interface Finding {
  readonly heading: string
  /** What was done, in Markdown. */
  readonly method: string
  /** Head first. */
  readonly rows: readonly (readonly string[])[]
  readonly verdicts: readonly Verdict[]
  /** Everything that was measured, as it came. */
  readonly figures: object
}

export interface Study {
  readonly name: string
  readonly text: string
  readonly run: (options: StudyOptions) => Promise<Finding>
}

export const MIB: number = 1024 * 1024

/** Takes templates away from all hosts, whoever uses them. */
export function forgetBases(cluster: TestCluster): void {
  for (const { folder } of cluster.hosts.hosts) rmSync(join(folder, 'bases'), { recursive: true, force: true })
}

/** Ends machines, and removes them with what they wrote. */
export async function removeMachines(cluster: TestCluster): Promise<void> {
  await cluster.done('shutdown', '--timeout', '1')
  await cluster.done('destroy', '--discard')
}

export function numberOf(record: unknown, name: string): number {
  return Number((record as Record<string, unknown>)[name])
}
