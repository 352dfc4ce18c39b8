import { readdirSync } from 'node:fs'
import { constants, setPriority } from 'node:os'

/**
 * Lets all else on this machine go first from now on, and so do the programs that this one starts: a nice value of 10 (nice(2)),
 * about a tenth of what others get of a processor that they want. Copying a template is in no hurry; the machines beside it are.
 */
export function giveWay(): void {
  for (const thread of threadIds()) {
    try {
      setPriority(thread, constants.priority.PRIORITY_BELOW_NORMAL)
    } catch {
      // It has ended, or is nicer already than this user may undo.
    }
  }
}

/** On Linux a thread has a priority of its own, and new ones have that of the thread that starts them. */
function threadIds(): number[] {
  try {
    return readdirSync('/proc/self/task').map(Number)
  } catch {
    return [0]
  }
}
