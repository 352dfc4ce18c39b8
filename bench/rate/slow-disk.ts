import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { missingPackages, runCommand } from '../../test/lab/command.ts'

const CGROUPS = '/sys/fs/cgroup'
const PROCESSES = 'cgroup.procs'
const GROUP = `skilfish-bench-${process.pid}`

/** A control group's folder and the file that limits writes to a device, by the version of control groups that the system has. */
const CONTROLLERS = [
  { folder: join(CGROUPS, 'blkio', GROUP), file: 'blkio.throttle.write_bps_device', prefix: '' },
  { folder: join(CGROUPS, GROUP), file: 'io.max', prefix: 'wbps=' },
] as const

/**
 * A block device that takes no more than so many bytes a second: a loop device, limited by a control group that this process joins, so
 * that what it starts from then on is in it too. Nobody else's writes are limited, to whatever device. Needs root.
 */
export class SlowDisk {
  readonly path: string
  /** Where its bytes lie. */
  readonly file: string
  readonly #folder: string

  /** What this machine lacks for one, a line for people each; empty when nothing. */
  static missing(): string[] {
    const lines = missingPackages({ mount: ['losetup'] })
    if (!existsSync('/dev/loop-control')) lines.push('loop devices (modprobe loop)')
    if (controllerOf() === undefined)
      lines.push('control groups that limit block devices (blkio of version 1, or io of version 2)')
    return lines
  }

  /** @param file is made here, and removed by {@link close} */
  constructor(file: string, sizeBytes: number, bytesPerSec: number) {
    const controller = controllerOf()
    if (controller === undefined)
      throw new Error(`No slow disk can be made here; it needs ${SlowDisk.missing().join('; ')}`)
    this.file = file
    this.#folder = controller.folder
    runCommand('truncate', ['-s', String(sizeBytes), file])
    this.path = runCommand('losetup', ['--find', '--show', file]).trim()
    mkdirSync(this.#folder, { recursive: true })
    const device = readFileSync(`/sys/block/${basename(this.path)}/dev`, 'utf8').trim()
    writeFileSync(join(this.#folder, controller.file), `${device} ${controller.prefix}${bytesPerSec}`)
    writeFileSync(join(this.#folder, PROCESSES), String(process.pid))
  }

  close(): void {
    writeFileSync(join(this.#folder, '..', PROCESSES), String(process.pid))
    runCommand('losetup', ['--detach', this.path])
    rmSync(this.file)
    rmdirSync(this.#folder)
  }
}

function controllerOf(): (typeof CONTROLLERS)[number] | undefined {
  if (existsSync(join(CGROUPS, 'blkio'))) return CONTROLLERS[0]
  const subtree = join(CGROUPS, 'cgroup.subtree_control')
  return existsSync(subtree) && readFileSync(subtree, 'utf8').split(/\s/).includes('io') ? CONTROLLERS[1] : undefined
}
