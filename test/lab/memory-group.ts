import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** Files of a control group, by version of the interface. Source: the kernel's documentation of cgroup-v1 and cgroup-v2. */
const VERSION_1 = {
  root: '/sys/fs/cgroup/memory',
  limit: 'memory.limit_in_bytes',
  events: 'memory.oom_control',
} as const
const VERSION_2 = { root: '/sys/fs/cgroup', limit: 'memory.max', events: 'memory.events' } as const

/** A control group whose processes may use so much memory, page cache and socket buffers included. Needs root. */
export class MemoryGroup {
  readonly #path: string
  readonly #version: typeof VERSION_1 | typeof VERSION_2

  /** @throws Error when the kernel has no memory controller */
  constructor(name: string, limitBytes: number) {
    this.#version = existsSync(VERSION_1.root) ? VERSION_1 : VERSION_2
    const { root, limit } = this.#version
    if (this.#version === VERSION_2) writeFileSync(join(root, 'cgroup.subtree_control'), '+memory')
    this.#path = join(root, `${name}-${process.pid}`)
    mkdirSync(this.#path)
    writeFileSync(join(this.#path, limit), String(limitBytes))
  }

  /** Takes in a process, best one that was started only just: what it has used before is not counted. */
  add(processId: number): void {
    writeFileSync(join(this.#path, 'cgroup.procs'), String(processId))
  }

  /** The processes within. */
  get processIds(): number[] {
    return readFileSync(join(this.#path, 'cgroup.procs'), 'utf8').trim().split('\n').map(Number)
  }

  /** How often a process of the group was killed for want of memory. */
  get killCount(): number {
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(this.#path, this.#version.events), 'utf8'))?.[1])
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
