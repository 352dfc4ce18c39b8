import type { BlockNodeOptions } from '../qmp/index.ts'
import type { ImageRange } from './extents.ts'

/** What begins a request: both ends must be of one version. */
export const AGENT_VERSION = 3

/** A template as hosts keep it. */
export interface BaseName {
  /** File name without ending, made of the template's name and identity: letters, digits, `-`, `.` and `_`. */
  readonly key: string
  /** What no other content has: the image id of the multicast session. */
  readonly identity: string
  readonly sizeBytes: number
}

/** Where a multicast session takes place, from one end. */
export interface TransferPlace {
  readonly group?: string
  readonly interface?: string
  readonly ttl?: number
  /** Path of a group key file, at both ends. */
  readonly key?: string
}

/** Which virtual machine, and what the storage has of it. */
export interface VmPlace {
  /** Folder of the host for all of this program's files. */
  readonly folder: string
  readonly cluster: string
  readonly vm: string
}

/** A machine, and what its overlay is of: changes fit no other image. */
export interface OverlayPlace extends VmPlace {
  /** The id of its image's record. */
  readonly image: string
  readonly generation: number
  readonly base: BaseName
}

/** Hardware of a virtual machine. */
export interface VmHardware {
  /** The program. */
  readonly qemu: string
  readonly accelerator: string
  readonly memoryMiB: number
  readonly cpus: number
  readonly kernel?: string
  readonly initrd?: string
  readonly append?: string
  /** More arguments of QEMU: networks, displays. */
  readonly arguments: readonly string[]
}

/** How QEMU reads or writes an image of the storage: options of the node of a protocol, without a name. */
export type RemoteImage = BlockNodeOptions

/** What a host is asked to do: one step. Each can be asked again after anything, and finishes what is unfinished. */
export type StepRequest =
  | (OverlayPlace & {
      readonly step: 'boot'
      readonly sizeBytes: number
      readonly remote: RemoteImage
      readonly hardware: VmHardware
    })
  | { readonly step: 'find-base'; readonly folder: string; readonly base: BaseName }
  | {
      readonly step: 'receive'
      readonly folder: string
      readonly base: BaseName
      readonly place: TransferPlace
      /** The group key of this session alone, 64 hexadecimal digits, where `place` names no file. A secret: it goes nowhere but here. */
      readonly freshKey?: string
    }
  | {
      readonly step: 'send'
      /** What is opened there to read the template, and the configuration of Ceph for that, at the same path everywhere. */
      readonly source: string
      readonly cephConf?: string
      readonly base: BaseName
      readonly place: TransferPlace
      readonly freshKey?: string
      readonly receiverCount: number
      /** Bits per second, until {@link StepHooks.onCapChange}. */
      readonly maxBitrate?: number
    }
  | (OverlayPlace & {
      readonly step: 'fetch-unique'
      readonly remote: RemoteImage
      readonly ranges: readonly ImageRange[]
      /** Bytes per second; 0 for no cap. */
      readonly bytesPerSec: number
    })
  | (OverlayPlace & { readonly step: 'switch' })
  | (VmPlace & { readonly step: 'status' })
  | (VmPlace & { readonly step: 'shutdown'; readonly timeoutMs: number })
  | (OverlayPlace & {
      readonly step: 'commit'
      readonly remote: RemoteImage
      readonly target: RemoteImage
      readonly bytesPerSec: number
    })
  | (VmPlace & { readonly step: 'committed'; readonly image: string; readonly generation: number })
  | (VmPlace & { readonly step: 'remove'; readonly isForced: boolean })
  | {
      readonly step: 'evict'
      readonly folder: string
      readonly keepBytes: number
      readonly usedKeys: readonly string[]
    }

/** What whoever asks for a step has to do with it meanwhile. */
export interface StepHooks {
  /** Whoever asked does not want it any more, or is gone. */
  readonly signal: AbortSignal
  readonly onProgress: (percent: number, bitsPerSec: number) => void
  /** Has `listener` called whenever the cap changes, bits per second; undefined lifts it. Of use to `send` alone. */
  readonly onCapChange?: (listener: (maxBitrate: number | undefined) => void) => void
}

/** What a deployer may say to a step that is under way, a line of JSON each; empty lines only tell that it is there. */
export interface StepOrder {
  /** Null lifts the cap. */
  readonly maxBitrate: number | null
}

/** What each step comes to. */
export interface StepResults {
  boot: {
    readonly pid: number
    readonly isAdopted: boolean
    readonly base: 'remote' | 'local'
    readonly readyMs: number
  }
  'find-base': { readonly path?: string; readonly reason?: string }
  receive: { readonly path: string }
  /** Bytes of packets sent. */
  send: { readonly wireBytes: number }
  'fetch-unique': { readonly copiedBytes: number }
  switch: SwitchReport
  status: VmStatus
  shutdown: { readonly how: 'down-already' | 'powered-down' | 'quit' }
  commit: CommitReport
  committed: Record<string, never>
  remove: Record<string, never>
  evict: EvictReport
}

/** Files of the cache: those removed, and those that are in use and would have been removed otherwise. */
export interface EvictReport {
  readonly removed: readonly string[]
  /** Who uses each: `machines of this cluster`, or programs with their process numbers. */
  readonly kept: readonly { readonly name: string; readonly usedBy: readonly string[] }[]
}

/** What a switch did, and how long QEMU took. */
export interface SwitchReport {
  readonly wasLocal: boolean
  /** The storage did not answer; its connection was cut, and the guest went on after the switch. */
  readonly wasYanked: boolean
  /** From the first look at QEMU to the last node deleted, and of that the change of the base itself, milliseconds. */
  readonly switchMs: number
  readonly reopenMs: number
  /** Connections of QEMU to the storage, before and after. */
  readonly connectionsBefore: number
  readonly connectionsAfter: number
}

/** A virtual machine as its host sees it. */
export interface VmStatus {
  /** QEMU's own word (`running`, `io-error` …); `hung` when it does not answer; `down`; `unknown` when the host does not. */
  readonly state: string
  readonly pid?: number
  readonly base?: 'remote' | 'switching' | 'local'
  readonly generation?: number
  /** Stored bytes of what the guest has changed. */
  readonly overlayBytes?: number
  readonly isCommitted?: boolean
}

/** What a commit wrote, before it counts. */
export interface CommitReport {
  /** How the changes were known: by the bitmap, or all of the overlay, as QEMU ended without saving the bitmap. */
  readonly by: 'bitmap' | 'overlay'
  readonly committedBytes: number
  /** Until all was written; most of it was read back meanwhile. */
  readonly copyMs: number
  /** From then until all was read back and flushed. */
  readonly verifyMs: number
}

/** How often both ends say that they are there, milliseconds: the host a message, the deployer an empty line. */
export const ALIVE_MS = 5000

/** What a step's program says on standard output, a line of JSON each. */
export type StepMessage =
  | { readonly type: 'alive' }
  | { readonly type: 'progress'; readonly percent: number; readonly bitsPerSec: number }
  | { readonly type: 'result'; readonly result: object }
  | { readonly type: 'error'; readonly code: string; readonly message: string }
