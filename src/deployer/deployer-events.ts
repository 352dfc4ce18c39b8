import type { CommitReport, SwitchReport, VmStatus } from './host-protocol.ts'
import type { VmRecord } from './storage/storage.ts'

/** What a deployer tells while it works: about a machine, a host, or (neither) the cluster. */
export interface DeployerEvent {
  readonly operation: Operation
  readonly vm?: string
  readonly host?: string
  /** `begun`, `progress` (with the numbers), `done`, `failed` (with the reason), or `note`. */
  readonly kind: 'begun' | 'progress' | 'done' | 'failed' | 'note'
  readonly text?: string
  /** 0 to 100. */
  readonly percent?: number
  readonly bitsPerSec?: number
  readonly elapsedMs?: number
}

export type Operation =
  'up' | 'create' | 'boot' | 'fetch' | 'switch' | 'status' | 'shutdown' | 'commit' | 'destroy' | 'abandon' | 'evict'

/** What an operation came to for one machine or host. */
export interface Part<Result> {
  readonly name: string
  readonly host: string
  /** It is about the host itself, not about a machine of that name. */
  readonly isHost?: true
  readonly elapsedMs: number
  readonly result?: Result
  readonly error?: { readonly code: string; readonly message: string }
}

export interface CreateResult {
  readonly isNew: boolean
}

export interface BootResult {
  readonly pid: number
  readonly isAdopted: boolean
  readonly base: 'remote' | 'local'
  readonly generation: number
  readonly readyMs: number
}

export interface AbandonResult {
  /** Whether changes were given up: its host did not answer. */
  readonly isHostLost: boolean
}

export interface FetchResult {
  /** What went out by multicast, bytes of packets; 0 when every host had the base. */
  readonly multicastBytes: number
  readonly hosts: readonly Part<{ readonly isCached: boolean }>[]
  readonly vms: readonly Part<{ readonly copiedBytes: number }>[]
}

export type SwitchResult = SwitchReport
export type CommitResult = CommitReport & { readonly generation: number; readonly snapshotMs: number }

/** What is wanted of a machine and what there is. */
export interface VmView extends VmStatus {
  readonly vm: string
  readonly host: string
  /** What the storage knows; undefined when the machine has no image, or when that is not known. */
  readonly record?: VmRecord
  /** Why the state is `unknown`. */
  readonly reason?: string
  /** Why it is not known whether there is an image. */
  readonly storageReason?: string
}
