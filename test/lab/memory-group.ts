import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** Where the memory controller of control groups may be: version 1 and 2. */
const ROOTS = ['/sys/fs/cgroup/memory', '/sys/fs/cgroup', '/sys/fs/cgroup/unified'] as const

/** A control group whose processes may use so much memory, page cache and socket buffers included, and no swap. Needs root. */
export class MemoryGroup {
  readonly #path: string

  private constructor(path: string) {
    this.#path = path
  }

  /** @throws Error when the kernel has no memory controller */
  static make(name: string, limitBytes: number): MemoryGroup {
    for (const root of ROOTS) {
      if (!existsSync(root)) continue
      const path = join(root, `${name}-${process.pid}`)
      mkdirSync(path, { recursive: true })
      const limit = ['memory.limit_in_bytes', 'memory.max'].find((file) => existsSync(join(path, file)))
      if (limit !== undefined) {
        writeFileSync(join(path, limit), String(limitBytes))
        return new MemoryGroup(path)
      }
      rmdirSync(path)
    }
    throw new Error('The kernel has no memory controller for control groups')
  }

  /** The command line that runs `command` within the group, under the same process id. */
  wrap(command: string, args: readonly string[]): [string, string[]] {
    return ['sh', ['-c', `echo $$ > ${this.#path}/cgroup.procs && exec "$@"`, 'sh', command, ...args]]
  }

  /** How often a process of the group was killed for want of memory. */
  get killCount(): number {
    const file = ['memory.oom_control', 'memory.events'].find((name) => existsSync(join(this.#path, name)))!
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(this.#path, file), 'utf8'))?.[1])
  }

  /** Removes the group once its processes are gone. */
  async remove(): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        rmdirSync(this.#path)
        return
      } catch (error) {
        if (tries === 50) throw error
        await delay(100)
      }
    }
  }
}
