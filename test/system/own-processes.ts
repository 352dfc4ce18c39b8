import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { afterEach } from 'vitest'

/** Returns the list for processes that a test of the file has started; those that have not ended with the test are killed. */
export function useProcesses(): ChildProcess[] {
  const processes: ChildProcess[] = []
  afterEach(async () => {
    for (const one of processes.splice(0)) {
      if (one.exitCode !== null || one.signalCode !== null) continue
      one.kill('SIGKILL')
      await once(one, 'exit')
    }
  })
  return processes
}
