import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { missingPackages, runCommand, type Packages } from './command.ts'
import { Lab, type LabMachine } from './lab.ts'

export interface DeployerHostsOptions {
  /** How many hosts there are for virtual machines, 1 to 200; the storage's host is one more. */
  readonly hostCount: number
  /** Gives each host a file system of its own, of so many bytes, so that it can be full. Otherwise they share this machine's disk. */
  readonly diskBytes?: number
}

/** A host that virtual machines run on. */
export interface DeployerHost {
  /** `host1` and so on: what goes in the place of `{host}`. */
  readonly name: string
  readonly ipv4: string
  /** Its local disk: a folder. */
  readonly folder: string
}

/** A way to run commands on the hosts. */
export interface WayToHosts {
  /** The prefix of a command, with `{host}` in the place of the host's name: `ip netns exec LAB-{host}`. */
  readonly through: readonly string[]
  /** Removes what it needs. */
  readonly remove: () => void
}

const PACKAGES: Packages = { e2fsprogs: ['mkfs.ext4'], mount: ['mount', 'umount'] }

/**
 * Hosts on one machine for the deployer's tests: those of a {@link Lab}, with a disk each, and a way from this machine to them all.
 * They share its programs and files; what is a host's own is its network and its disk. Needs root.
 */
export class DeployerHosts {
  readonly lab: Lab
  readonly hosts: readonly DeployerHost[]
  /** Where the storage is to run: `ip netns exec NAME`, and its address. */
  readonly storage: { readonly through: readonly string[]; readonly ipv4: string }
  /** The interface of this machine that leads to the hosts. */
  readonly machine: LabMachine
  /** The prefix of a command that runs on a host, with `{host}` in the place of its name: `ip netns exec LAB-{host}`. */
  readonly through: readonly string[]
  readonly #folder: string
  readonly #mounted: string[] = []

  private constructor(lab: Lab) {
    this.lab = lab
    this.machine = lab.machine!
    this.#folder = mkdtempSync(join(tmpdir(), 'skilfish-hosts-'))
    const prefix = lab.hosts[0]!.namespace.replace(/host0$/, '')
    this.through = ['ip', 'netns', 'exec', `${prefix}{host}`]
    this.storage = { through: ['ip', 'netns', 'exec', lab.hosts[0]!.namespace], ipv4: lab.hosts[0]!.ipv4 }
    this.hosts = lab.receivers.map(({ ipv4, index }) => {
      const name = `host${index}`
      return { name, ipv4, folder: join(this.#folder, name) }
    })
  }

  /** Take them {@link down} in a `finally`. @throws Error that names what is missing, or the command that failed */
  static up({ hostCount, diskBytes }: DeployerHostsOptions): DeployerHosts {
    const missing = diskBytes === undefined ? [] : missingPackages(PACKAGES)
    if (missing.length > 0) throw new Error(`Disks of hosts need ${missing.join('; ')}`)
    const hosts = new DeployerHosts(Lab.up({ receiverCount: hostCount, isReachable: true }))
    try {
      for (const { folder } of hosts.hosts) hosts.#makeDisk(folder, diskBytes)
      return hosts
    } catch (error) {
      hosts.down()
      throw error
    }
  }

  /** Kills what runs on the hosts, and removes them with their disks. */
  down(): void {
    this.lab.down()
    for (const folder of this.#mounted.splice(0)) runCommand('umount', ['--lazy', folder])
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #makeDisk(folder: string, diskBytes: number | undefined): void {
    mkdirSync(folder)
    if (diskBytes === undefined) return
    const image = `${folder}.ext4`
    writeFileSync(image, '')
    truncateSync(image, diskBytes)
    runCommand('mkfs.ext4', ['-q', '-m', '0', image])
    runCommand('mount', ['-o', 'loop', image, folder])
    this.#mounted.push(folder)
  }
}
