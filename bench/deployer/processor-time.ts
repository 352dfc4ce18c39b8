import { spawn, type ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** Of the kernel's clock in `/proc/PID/stat`, on every architecture that Node.js has. */
const MS_PER_TICK = 10

/**
 * Processor time that a process, its living descendants, and those that have ended and were waited for have taken, milliseconds
 * (proc_pid_stat(5)).
 */
export function processorMs(processId: number): number {
  const parents = new Map<number, number>()
  const usedMs = new Map<number, number>()
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const fields = statOf(name)
    if (fields === undefined) continue
    parents.set(Number(name), Number(fields[1]))
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
    usedMs.set(Number(name), ticks * MS_PER_TICK)
  }
  const isBelow = (pid: number | undefined): boolean =>
    pid === processId || (pid !== undefined && isBelow(parents.get(pid)))
  return [...usedMs].reduce((sum, [pid, ms]) => sum + (isBelow(pid) ? ms : 0), 0)
}

/** Fields from the third on; undefined when the process has gone. */
function statOf(pid: string): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

const BURN = `
require('node:os').setPriority(10)
const [share, startMs] = [Number(process.argv[1]), performance.now()]
const usedMs = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000 }
const beforeMs = usedMs()
setInterval(() => { while (usedMs() - beforeMs < share * (performance.now() - startMs)); }, 1)
`

/** A program that gives way as a fetch does, and takes that share of one processor every millisecond, 0 to 1, for nothing. Kill it. */
export const burn = (share: number): ChildProcess =>
  spawn(process.execPath, ['-e', BURN, String(share)], { stdio: 'ignore' })
