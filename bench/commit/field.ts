import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { CephCluster } from '../../test/lab/ceph-cluster.ts'
import { COMMAND_ENVIRONMENT, runCommand } from '../../test/lab/command.ts'
import { writeIslandImage } from '../../test/lab/images.ts'
import { makeMemoryFolder } from '../memory-folder.ts'
import { writeScattered } from './scattered-writes.ts'
import { BITMAP, type Commit } from './ways.ts'

const MIB = 1024 * 1024

/** How long rbd-fuse may take to show the pool, milliseconds. */
const MOUNT_TIMEOUT_MS = 30_000

export interface FieldOptions {
  readonly vmCount: number
  readonly diskMib: number
  /** How much each guest has written, in pieces of 256 KiB anywhere on its disk. */
  readonly overlayMib: number
}

/**
 * What commits are measured on: a Ceph cluster with a template, half of it data, and an overlay for each of some virtual machines.
 */
export class Field {
  readonly #cluster: CephCluster
  readonly #options: FieldOptions
  /** In memory, so that reading the overlays takes the same time always. */
  readonly #memory = makeMemoryFolder('commit')
  readonly #fusePath = mkdtempSync(join(tmpdir(), 'skilfish-fuse-'))
  #fuse: ChildProcess | undefined

  private constructor(cluster: CephCluster, options: FieldOptions) {
    this.#cluster = cluster
    this.#options = options
  }

  static async up(options: FieldOptions): Promise<Field> {
    const field = new Field(await CephCluster.up(), options)
    try {
      await field.#make()
      return field
    } catch (error) {
      await field.down()
      throw error
    }
  }

  async down(): Promise<void> {
    await this.#unmount()
    await this.#cluster.down()
    this.#memory.remove()
    rmSync(this.#fusePath, { recursive: true, force: true })
  }

  /** New clones, with a snapshot as the deployer makes it, and new copies of the overlays. */
  async prepare(count: number, needsFuse: boolean): Promise<readonly Commit[]> {
    const commits = Array.from({ length: count }, (_, index) => {
      const image = `clone${index}`
      this.#cluster.rbd('clone', 'template@s', image)
      this.#cluster.rbd('snap', 'create', `${image}@base0`)
      mkdirSync(this.#path('work'), { recursive: true })
      const overlayPath = this.#path(`work/overlay${index}`)
      copyFileSync(this.#path(`overlay${index}`), overlayPath)
      const { confPath } = this.#cluster
      return { overlayPath, basePath: this.#path('template'), image, confPath, fusePath: this.#fusePath }
    })
    if (needsFuse) await this.#mount()
    return commits
  }

  /** Compares the clones with what they must be, and removes them. @throws Error when one differs */
  async finish(commits: readonly Commit[]): Promise<void> {
    await this.#unmount()
    for (const [index, { image, confPath, overlayPath }] of commits.entries()) {
      const formats = ['-f', 'qcow2', '-F', 'raw']
      const clone = `rbd:rbd/${image}:conf=${confPath}`
      runCommand('qemu-img', ['compare', '-q', ...formats, this.#path(`overlay${index}`), clone])
      this.#cluster.rbd('--no-progress', 'snap', 'purge', image)
      this.#cluster.rbd('--no-progress', 'rm', image)
      rmSync(overlayPath)
    }
  }

  async #make(): Promise<void> {
    const { vmCount, diskMib, overlayMib } = this.#options
    const template = this.#path('template')
    const sizeBytes = diskMib * MIB
    await writeIslandImage(template, { sizeBytes, islandCount: diskMib, islandBytes: MIB, seed: 1 })
    const target = `rbd:rbd/template:conf=${this.#cluster.confPath}`
    runCommand('qemu-img', ['convert', '-W', '-m', '16', '-f', 'raw', '-O', 'raw', template, target])
    this.#cluster.rbd('snap', 'create', 'template@s')
    for (let index = 0; index < vmCount; index++) {
      const overlay = this.#path(`overlay${index}`)
      runCommand('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', template, overlay])
      runCommand('qemu-img', ['bitmap', '--add', '-g', '65536', '-f', 'qcow2', overlay, BITMAP])
      writeScattered(overlay, { diskMib, overlayMib, seed: index })
    }
  }

  async #mount(): Promise<void> {
    const args = ['-f', '-c', this.#cluster.confPath, '-p', 'rbd', this.#fusePath]
    this.#fuse = spawn('rbd-fuse', args, { stdio: ['ignore', 'ignore', 'inherit'], env: COMMAND_ENVIRONMENT })
    const deadlineMs = performance.now() + MOUNT_TIMEOUT_MS
    while (!readdirSync(this.#fusePath).includes('template')) {
      if (performance.now() > deadlineMs) throw new Error('rbd-fuse does not show the pool')
      await delay(50)
    }
  }

  async #unmount(): Promise<void> {
    const fuse = this.#fuse
    if (fuse === undefined) return
    this.#fuse = undefined
    const ended = once(fuse, 'exit')
    runCommand('umount', [this.#fusePath])
    await ended
  }

  #path(name: string): string {
    return join(this.#memory.path, name)
  }
}
