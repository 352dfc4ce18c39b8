import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CephCluster } from './ceph-cluster.ts'
import { runCommand } from './command.ts'
import type { DeployerHosts } from './deployer-hosts.ts'

/** What clusters of tests are called. */
export const CLUSTER_NAME = 'test'

/** The storage of a test's cluster, and what may happen to it behind the deployer's back. */
export interface ClusterStorage {
  /** What the description of the cluster says of it. */
  readonly plan: object
  /** Writes what a machine's image holds to a raw file. */
  exportImage(vm: string, path: string): void
  /** Takes a machine's image out, as somebody might who does not know of the deployer. */
  deleteImage(vm: string): void
  /** The generations of a machine's image that it still has. */
  generationsOf(vm: string): readonly number[]
  /** Ends a deployer's lease, as if a minute had gone by. */
  endLease(): void
  /** Stops it where it is, as if the network had gone. */
  pause(): void
  resume(): void
  /** Ends it at once and for ever. */
  down(): Promise<void>
}

/** Files of this machine, offered by the deployer's own `qemu-storage-daemon`. */
export class FileClusterStorage implements ClusterStorage {
  readonly plan: object
  readonly #folder: string

  constructor(templatePath: string, { machine }: DeployerHosts) {
    this.plan = { template: `file:${templatePath}`, listen: `${machine.ipv4}:10809` }
    this.#folder = join(`${templatePath}.skilfish`, CLUSTER_NAME)
  }

  exportImage(vm: string, path: string): void {
    runCommand('qemu-img', ['convert', '-U', '-O', 'raw', this.#image(vm), path])
  }

  deleteImage(vm: string): void {
    rmSync(this.#image(vm))
  }

  generationsOf(vm: string): readonly number[] {
    return generationsIn(runCommand('qemu-img', ['snapshot', '-l', this.#image(vm)]))
  }

  endLease(): void {
    const path = join(this.#folder, 'lease')
    const lease = JSON.parse(readFileSync(path, 'utf8')) as { expiresMs: number }
    writeFileSync(path, JSON.stringify({ ...lease, expiresMs: Date.now() - 1 }))
  }

  pause(): void {
    process.kill(this.#serverPid(), 'SIGSTOP')
  }

  resume(): void {
    process.kill(this.#serverPid(), 'SIGCONT')
  }

  down(): Promise<void> {
    if (existsSync(this.#pidPath) && existsSync(`/proc/${this.#serverPid()}`)) {
      process.kill(this.#serverPid(), 'SIGKILL')
    }
    return Promise.resolve()
  }

  #image(vm: string): string {
    return join(this.#folder, `${vm}.qcow2`)
  }

  get #pidPath(): string {
    return join(this.#folder, 'server.pid')
  }

  #serverPid(): number {
    return Number(readFileSync(this.#pidPath, 'utf8'))
  }
}

/** A real Ceph cluster. */
export class CephClusterStorage implements ClusterStorage {
  readonly plan: object
  readonly ceph: CephCluster

  private constructor(ceph: CephCluster) {
    this.ceph = ceph
    this.plan = { template: 'rbd:rbd/template@golden', cephConf: ceph.confPath }
  }

  static async up(templatePath: string, { storage }: DeployerHosts): Promise<CephClusterStorage> {
    const ceph = await CephCluster.up({ address: storage.ipv4, through: storage.through })
    try {
      ceph.rbd('import', '--no-progress', templatePath, 'template')
      ceph.rbd('snap', 'create', '--no-progress', 'template@golden')
      return new CephClusterStorage(ceph)
    } catch (error) {
      await ceph.down()
      throw error
    }
  }

  exportImage(vm: string, path: string): void {
    rmSync(path, { force: true })
    this.ceph.rbd('export', '--no-progress', imageOf(vm), path)
  }

  deleteImage(vm: string): void {
    this.ceph.rbd('snap', 'purge', '--no-progress', imageOf(vm))
    this.ceph.rbd('rm', '--no-progress', imageOf(vm))
  }

  generationsOf(vm: string): readonly number[] {
    return generationsIn(this.ceph.rbd('snap', 'ls', imageOf(vm)))
  }

  endLease(): void {
    throw new Error('only for files')
  }

  pause(): void {
    this.ceph.pause()
  }

  resume(): void {
    this.ceph.resume()
  }

  down(): Promise<void> {
    return this.ceph.down()
  }
}

const imageOf = (vm: string): string => `${CLUSTER_NAME}.${vm}`

const generationsIn = (text: string): readonly number[] =>
  [...text.matchAll(/\bgeneration-(\d+)\b/g)].map(([, number]) => Number(number))
