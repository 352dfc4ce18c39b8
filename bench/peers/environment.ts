import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { peerVersions } from '../../test/lab/peers.ts'
import { readEnvironment as readStudyEnvironment } from '../scale/environment.ts'

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
  const { versions, ...study } = readStudyEnvironment(command)
  return {
    ...study,
    kernel: release(),
    processor: cpus()[0]?.model ?? 'unknown',
    processorCount: availableParallelism(),
    memoryBytes: totalmem(),
    loadBefore: loadavg()[0]!,
    versions: { ...versions, ...peerVersions() },
  }
}
