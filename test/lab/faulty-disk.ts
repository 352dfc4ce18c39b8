import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { missingPackages, runCommand } from './command.ts'

const PACKAGES = {
  nbdkit: ['nbdkit'],
  'libnbd-bin': ['nbdfuse'],
  fuse3: ['fusermount3'],
  mount: ['losetup', 'mount', 'umount'],
  e2fsprogs: ['mkfs.ext4'],
}

/** How long the parts may take to come up or go, milliseconds. */
const TIMEOUT_MS = 10_000

/**
 * A block device that keeps its promises and nothing more, and fails on demand: what was not flushed is lost when its power is
 * cut. Needs root.
 *
 * Made of a loop device over a file that nbdfuse serves from nbdkit, whose cache holds every write in memory until it is told to
 * flush (`cache=writeback`), and whose error filter fails every request while a file exists.
 */
export class FaultyDisk {
  readonly #folder: string
  #nbdkit: ChildProcess | undefined
  #nbdfuse: ChildProcess | undefined
  #device: string | undefined
  #mounted: string | undefined

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** What this machine lacks, a line for people each; empty when nothing. */
  static missing(): string[] {
    return [...missingPackages(PACKAGES), ...(existsSync('/dev/fuse') ? [] : ['FUSE in the kernel'])]
  }

  /** A disk full of zeros. Take it {@link down} in a `finally`. */
  static async up(sizeBytes: number): Promise<FaultyDisk> {
    const missing = FaultyDisk.missing()
    if (missing.length > 0) throw new Error(`The disk cannot be made here; it needs ${missing.join('; ')}`)
    const disk = new FaultyDisk(mkdtempSync(join(tmpdir(), 'skilfish-disk-')))
    try {
      disk.#shareMounts()
      mkdirSync(disk.#path('fuse'))
      mkdirSync(disk.#path('mounted'))
      writeFileSync(disk.#path('platter'), '')
      truncateSync(disk.#path('platter'), sizeBytes)
      await disk.#plug()
    } catch (error) {
      await disk.down()
      throw error
    }
    return disk
  }

  /** Path of the block device; another one after each power cut. */
  get device(): string {
    if (this.#device === undefined) throw new Error('the disk is not plugged')
    return this.#device
  }

  /** Makes an ext4 file system. */
  format(): void {
    runCommand('mkfs.ext4', ['-q', this.device])
  }

  /** @returns the folder where it is mounted */
  mount(): string {
    runCommand('mount', [this.device, this.#path('mounted')])
    return (this.#mounted = this.#path('mounted'))
  }

  /** Every request fails from now on, with EIO. */
  fail(): void {
    writeFileSync(this.#path('failing'), '')
  }

  /** The device is gone at once, with all that was not flushed. Its name stays until those who use it have closed it. */
  async unplug(): Promise<void> {
    await kill(this.#nbdkit)
    this.#nbdkit = undefined
  }

  /** The machine loses its power and comes back: whoever uses the disk must be dead by now. */
  async cutPower(): Promise<void> {
    await this.unplug()
    await this.#release()
    await this.#plug()
  }

  async down(): Promise<void> {
    await this.unplug()
    await this.#release()
    if (isMounted(this.#folder)) runCommand('umount', ['--lazy', this.#folder])
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /**
   * What is unmounted below the folder shall go from other mount namespaces too: `ip netns exec` gives each process a copy of all
   * mounts, and another test's long process would hold the device open.
   */
  #shareMounts(): void {
    runCommand('mount', ['--bind', this.#folder, this.#folder])
    runCommand('mount', ['--make-shared', this.#folder])
  }

  async #plug(): Promise<void> {
    const socket = this.#path('socket')
    rmSync(socket, { force: true })
    rmSync(this.#path('failing'), { force: true })
    const filters = ['--filter=error', '--filter=cache']
    const settings = ['cache=writeback', 'error=EIO', 'error-rate=100%', `error-file=${this.#path('failing')}`]
    const options = { stdio: 'ignore' } as const
    this.#nbdkit = spawn(
      'nbdkit',
      ['--foreground', '--unix', socket, ...filters, 'file', this.#path('platter'), ...settings],
      options,
    )
    await until(() => existsSync(socket), 'nbdkit listens')
    const file = this.#path('fuse', 'disk')
    this.#nbdfuse = spawn('nbdfuse', [file, `nbd+unix:///?socket=${socket}`], options)
    await until(() => existsSync(file), 'nbdfuse serves')
    this.#device = runCommand('losetup', ['--find', '--show', file]).trim()
  }

  async #release(): Promise<void> {
    if (this.#mounted !== undefined) runCommand('umount', ['--lazy', this.#mounted])
    this.#mounted = undefined
    const device = this.#device
    if (device !== undefined) {
      runCommand('losetup', ['--detach', device])
      // A device in use goes when it is closed. Another test may take it at once.
      await until(() => !backingFileOf(device).includes(this.#folder), `${device} is closed`)
    }
    this.#device = undefined
    if (isMounted(this.#path('fuse'))) runCommand('umount', ['--lazy', this.#path('fuse')])
    await kill(this.#nbdfuse)
    this.#nbdfuse = undefined
  }

  #path(...names: readonly string[]): string {
    return join(this.#folder, ...names)
  }
}

const isMounted = (path: string): boolean => readFileSync('/proc/self/mounts', 'utf8').includes(` ${path} `)

/** Empty for a loop device that has none. */
function backingFileOf(device: string): string {
  try {
    return readFileSync(`/sys/block/${device.slice('/dev/'.length)}/loop/backing_file`, 'utf8')
  } catch {
    return ''
  }
}

async function kill(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + TIMEOUT_MS
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`waited in vain until ${what}`)
    await delay(20)
  }
}
