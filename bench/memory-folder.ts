import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Where images and copies are: in memory, so that no disk slows a transfer down. */
export const MEMORY_FOLDER = '/dev/shm'

/** A folder in memory. */
export interface MemoryFolder {
  readonly path: string
  /** Takes it away with all that is in it. */
  readonly remove: () => void
}

/**
 * Makes a new folder in memory.
 *
 * It also goes when a signal ends this process, which no `finally` sees: there are gigabytes of memory to give back. `beforeRemove` is called
 * first, to stop what writes to it.
 */
export function makeMemoryFolder(name: string, beforeRemove: () => void = () => undefined): MemoryFolder {
  const path = mkdtempSync(join(MEMORY_FOLDER, `skilfish-${name}-`))
  const remove = (): void => {
    for (const [signal, handle] of handlers) process.off(signal, handle)
    beforeRemove()
    rmSync(path, { recursive: true, force: true })
  }
  const handlers = (
    [
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ] as const
  ).map(([signal, exitCode]) => {
    const handle = (): void => {
      remove()
      process.exit(exitCode)
    }
    process.once(signal, handle)
    return [signal, handle] as const
  })
  return { path, remove }
}
