import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** The memory controller of either version, and its files. Source: the kernel's documentation of cgroup-v1 and cgroup-v2. */
interface Controller {
  readonly root: string
  readonly limit: string
  readonly events: string
  readonly isDelegated: boolean
}

/** A control group whose processes may use so much memory, page cache and socket buffers included. Needs root. */
export class MemoryGroup {
  readonly #path: string
  readonly #events: string

  /** @throws Error when the kernel has no memory controller, or does not let us have it */
  constructor(name: string, limitBytes: number) {
    const { root, limit, events, isDelegated } = findController()
    if (isDelegated) delegateMemory(root)
    this.#path = join(root, `${name}-${process.pid}`)
    this.#events = join(this.#path, events)
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
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync(this.#events, 'utf8'))?.[1])
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

/**
 * Version 2: has the groups below share the memory controller. Any group but that of the whole system, which alone has no `cgroup.type`,
 * may do so only when no process is in it itself ("No Internal Process Constraint"): in a container ours are, and go to a leaf.
 */
function delegateMemory(root: string): void {
  if (existsSync(join(root, 'cgroup.type'))) {
    const leaf = join(root, 'rest')
    mkdirSync(leaf, { recursive: true })
    for (const id of readFileSync(join(root, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)) {
      writeFileSync(join(leaf, 'cgroup.procs'), id)
    }
  }
  writeFileSync(join(root, 'cgroup.subtree_control'), '+memory')
}

/** Where systemd has mounted it, or whoever did: a hierarchy of version 1 with this controller, or one of version 2 that has it. */
function findController(): Controller {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n')
  for (const mount of mounts) {
    const [, root = '', kind, options = ''] = mount.split(' ')
    if (kind === 'cgroup' && options.split(',').includes('memory')) {
      return { root, limit: 'memory.limit_in_bytes', events: 'memory.oom_control', isDelegated: false }
    }
    const controllers = join(root, 'cgroup.controllers')
    if (kind !== 'cgroup2' || !existsSync(controllers)) continue
    if (readFileSync(controllers, 'utf8').trim().split(' ').includes('memory')) {
      return { root, limit: 'memory.max', events: 'memory.events', isDelegated: true }
    }
  }
  throw new Error(
    'No control groups with the memory controller are mounted: boot with systemd, or mount -t cgroup2 none DIRECTORY',
  )
}
