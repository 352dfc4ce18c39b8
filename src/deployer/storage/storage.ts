import type { ImageRange } from '../extents.ts'
import type { RemoteImage } from '../host-protocol.ts'

/** What the storage knows of a template. */
export interface Template {
  /** For people. */
  readonly name: string
  /** What no other content has. */
  readonly identity: string
  readonly sizeBytes: number
  /** What a sender opens to read it, and the configuration of Ceph that it needs for that; undefined for Ceph's default, and for files. */
  readonly source: string
  readonly cephConf?: string
}

/** What is kept with the image of a virtual machine, so that any machine that reaches the storage can go on. */
export interface VmRecord {
  /** Drawn when the image was made: what else has the machine's name is another image. */
  readonly id: string
  readonly cluster: string
  /** Identity of the template that it was made of. */
  readonly template: string
  /** How often changes were committed: the image's state is that of this snapshot. */
  readonly generation: number
  /** The host with the overlay, from the first boot until its changes are committed. */
  readonly host?: string
  /** A commit to this generation was begun; until it counts, the image may hold part of it. */
  readonly committing?: number
}

/** What is kept with a cluster. */
export interface ClusterRecord {
  /** Cap of fetches, bits per second, in the place of the description's; null: none. */
  readonly maxBitrate?: number | null
}

/** The right to change a cluster, held by one deployer at a time. */
export interface Lease {
  /** Aborted when it could not be renewed in time, some seconds before another deployer may have it. */
  readonly lost: AbortSignal
  /** Goes by the clocks of this machine, also right after it slept. @throws SkilfishError CLUSTER_BUSY when it is lost */
  check(): void
  /** Asks the storage too, before what cannot be undone. @throws SkilfishError CLUSTER_BUSY when it is lost, and those of the storage */
  confirm(): Promise<void>
  /** Gives it back; one that the storage does not take back ends by itself. */
  release(): Promise<void>
}

/** What to do while the lease of a deployer that has died lasts. */
export interface LeaseWait {
  /** Ends the waiting. */
  readonly signal: AbortSignal
  /** Called before it begins, with what is waited for and how long. */
  readonly onWait: (text: string) => void
}

/**
 * Shared storage: a template, and an image for each virtual machine made of it. Every method may be called again after a crash in it.
 * All throw SkilfishError: STORAGE_FAILED, and those of the programs that they run.
 */
export interface Storage {
  template(): Promise<Template>
  /** @throws SkilfishError CLUSTER_BUSY when another deployer holds it; what the signal of `wait` says */
  acquireLease(wait: LeaseWait): Promise<Lease>
  clusterRecord(): Promise<ClusterRecord>
  setClusterRecord(record: ClusterRecord): Promise<void>

  /** @returns undefined when the machine has no image */
  vmRecord(vm: string): Promise<VmRecord | undefined>
  setVmRecord(vm: string, record: VmRecord): Promise<void>
  /**
   * Makes an image with the template's content, its snapshot of generation 0 and its record, for a machine that has none. It has its name
   * when it is complete. @throws SkilfishError STORAGE_FAILED when something else has the name
   */
  createVm(vm: string, record: VmRecord): Promise<void>
  /** Removes the machine's image, and what an interrupted {@link createVm} left. What has the name and no record is not the machine's. */
  removeVm(vm: string): Promise<void>
  /** Ends what served the cluster, when no machine of it is left. */
  removeCluster(): Promise<void>

  /** How QEMU on a host reads the image as of a generation. */
  remoteImage(vm: string, generation: number): Promise<RemoteImage>
  /** How QEMU on a host writes the image, until {@link closeTarget}. */
  openTarget(vm: string): Promise<RemoteImage>
  closeTarget(vm: string): Promise<void>
  /** Makes the present state that of a generation. */
  snapshot(vm: string, generation: number): Promise<void>
  /** Makes the state of a generation the present one, and forgets those after it. */
  rollBack(vm: string, generation: number): Promise<void>
  /** Removes the states of generations that nobody comes back to: all but the first, that before this one, and this one. */
  prune(vm: string, generation: number): Promise<void>
  /** Where an image of a generation differs from the template, or may. */
  uniqueRanges(vm: string, generation: number): Promise<readonly ImageRange[]>
}

/** Whether a generation's state is of no use when the present one is `generation`. What machines alone have is relative to the first. */
export const isOutdated = (candidate: number, generation: number): boolean =>
  candidate > 0 && candidate < generation - 1

/** The snapshot of a generation. */
export const snapshotName = (generation: number): string => `generation-${generation}`

/** The generation that a snapshot is of; undefined for a snapshot of somebody else's. */
export const generationOf = (snapshot: string): number | undefined => {
  const found = /^generation-(\d+)$/.exec(snapshot)?.[1]
  return found === undefined ? undefined : Number(found)
}
