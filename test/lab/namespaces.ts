import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { runCommand } from './command.ts'

/**
 * Names of network namespaces say which process owns them: `skilfish-PID-START-RANDOM-ROLE`, where START is the time at which
 * that process started, in clock ticks since boot. So a later process can tell what a dead one left behind, even when
 * the process id is in use again.
 */
const OWNED_NAME = /^skilfish-(\d+)-(\d+)-[0-9a-f]+-\w+$/

/** A SIGKILL takes effect at once except in uninterruptible sleep; each try takes about 10 ms. */
const KILL_TRIES = 300

/** The beginning of the names of one lab's namespaces; differs from that of every other lab. */
export function namespacePrefix(): string {
  return `skilfish-${process.pid}-${startTicks(process.pid) ?? 0}-${randomBytes(4).toString('hex')}`
}

/** Names of all network namespaces that have one. */
export function listNamespaces(): string[] {
  return runCommand('ip', ['netns', 'list'])
    .split('\n')
    .flatMap((line) => line.split(' ')[0] || [])
}

/** Removes namespaces with all that is in them: kills their processes, then lets go of the names. Absent ones are no error. */
export function removeNamespaces(names: readonly string[]): void {
  const present = new Set(listNamespaces())
  for (const name of names) if (present.has(name)) removeNamespace(name)
}

/** Removes the namespaces of labs whose process has ended without doing so itself. */
export function removeStaleNamespaces(): void {
  removeNamespaces(
    listNamespaces().filter((name) => {
      const [, pid, start] = OWNED_NAME.exec(name) ?? []
      return pid !== undefined && startTicks(Number(pid)) !== Number(start)
    }),
  )
}

function removeNamespace(name: string): void {
  try {
    killProcesses(name)
    runCommand('ip', ['netns', 'delete', name])
  } catch (error) {
    // Another process that starts a lab may be removing the same stale one.
    if (listNamespaces().includes(name)) throw error
  }
}

function killProcesses(namespace: string): void {
  for (let tries = 0; tries < KILL_TRIES; tries++) {
    const pids = runCommand('ip', ['netns', 'pids', namespace]).split('\n').filter(Boolean).map(Number)
    if (pids.length === 0) return
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It has just ended by itself.
      }
    }
  }
  throw new Error(`Processes in network namespace ${namespace} do not end`)
}

/** When a process started, in clock ticks since boot; undefined when there is no such process. Source: proc(5), field 22. */
function startTicks(pid: number): number | undefined {
  try {
    // The second field, the command's name, is in parentheses and may itself hold any character.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '')
    return Number(fields.split(' ')[19])
  } catch {
    return undefined
  }
}
