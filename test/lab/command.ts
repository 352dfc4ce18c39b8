import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'

/** The caller's PATH with the folders of system commands, which an ordinary user's or a cron job's may lack. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`

/**
 * The environment that the lab's commands run in: the caller's, with system commands found and plain English output. Certificates
 * that the caller adds to those of Node.js are left out: it reads all of them at each start, which with the usual bundle takes two
 * thirds of the time, and nothing of ours uses one.
 */
export const COMMAND_ENVIRONMENT: NodeJS.ProcessEnv = {
  ...process.env,
  NODE_EXTRA_CA_CERTS: undefined,
  PATH,
  LC_ALL: 'C',
}

/**
 * Runs a command to its end and returns its standard output (up to 64 MiB).
 *
 * @param input what the command reads from its standard input
 * @throws Error with the command, its status and what it wrote to standard error, when it cannot run or its status is not 0.
 */
export function runCommand(command: string, args: readonly string[], input = ''): string {
  const result = spawnSync(command, args, {
    input,
    encoding: 'utf8',
    env: COMMAND_ENVIRONMENT,
    maxBuffer: 64 * 1024 * 1024,
  })
  if (result.error) throw new Error(`${command} cannot run`, { cause: result.error })
  if (result.status !== 0) {
    const end = result.status === null ? `was ended by ${result.signal ?? 'a signal'}` : `failed (${result.status})`
    throw new Error([`${[command, ...args].join(' ')} ${end}`, result.stderr.trim(), input.trim()].join('\n').trim())
  }
  return result.stdout
}

/** Debian package → the commands wanted of it. */
export type Packages = Readonly<Record<string, readonly string[]>>

/**
 * Of the packages that are asked for, those whose commands this machine lacks, as one line for people each.
 */
export function missingPackages(packages: Packages): string[] {
  return absentPackages(packages).map(([name, commands]) => `Debian package ${name} (for ${commands.join(', ')})`)
}

/** The same as names, each with those of its commands that are absent. */
export function absentPackages(packages: Packages): [string, string[]][] {
  return Object.entries(packages).flatMap(([name, commands]): [string, string[]][] => {
    const absent = commands.filter((command) => !hasCommand(command))
    return absent.length > 0 ? [[name, absent]] : []
  })
}

/** Whether a command of that name is on the path that {@link runCommand} searches. */
function hasCommand(command: string): boolean {
  return PATH.split(':').some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
