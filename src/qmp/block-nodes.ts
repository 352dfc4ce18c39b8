import { Fields } from './fields.ts'
import type { QmpClient } from './qmp-client.ts'

/** A dirty bitmap of a node: which of its bytes were written since the bitmap was added or a backup by it was complete. */
export interface DirtyBitmap {
  readonly name: string
  /** How much is marked, bytes. */
  readonly dirtyBytes: number
  /** Each bit stands for so many bytes. */
  readonly granularityBytes: number
  readonly isRecording: boolean
  /** A job or export uses it. */
  readonly isBusy: boolean
  /** Kept in the qcow2 file when QEMU ends. */
  readonly isPersistent: boolean
  /** QEMU ended without saving it: it tells nothing. */
  readonly isInconsistent: boolean
}

/** One node of the block graph: a format, a protocol or a filter. */
export interface BlockNode {
  readonly nodeName: string
  readonly driver: string
  readonly isReadOnly: boolean
  /** What it shows: a path, a URL, or `json:` with its options. */
  readonly filename: string
  /** Size of what it shows, bytes. */
  readonly sizeBytes: number
  /** What the backing file is in its header. */
  readonly backingFilename: string | undefined
  readonly dirtyBitmaps: readonly DirtyBitmap[]
}

/** Where QEMU finds an NBD server. Ports are text in QMP. */
export type NbdAddress =
  | { readonly type: 'inet'; readonly host: string; readonly port: string }
  | { readonly type: 'unix'; readonly path: string }

interface NodeOptions {
  /** 1 to 31 characters: letters, digits, `-`, `.` and `_`, the first a letter. */
  readonly 'node-name'?: string
  readonly 'read-only'?: boolean
  readonly 'auto-read-only'?: boolean
  readonly discard?: 'ignore' | 'unmap'
  readonly 'detect-zeroes'?: 'off' | 'on' | 'unmap'
  readonly cache?: { readonly direct?: boolean; readonly 'no-flush'?: boolean }
}

/** Options of a node, in QEMU's words: `BlockdevOptions` of its manual, of the drivers that are used here. A child is a node's name or its options. */
export type BlockNodeOptions = NodeOptions &
  (
    | {
        readonly driver: 'file' | 'host_device'
        readonly filename: string
        readonly aio?: 'threads' | 'native' | 'io_uring'
        readonly locking?: 'on' | 'off' | 'auto'
      }
    | { readonly driver: 'raw'; readonly file: BlockNodeChild; readonly offset?: number; readonly size?: number }
    | { readonly driver: 'qcow2'; readonly file: BlockNodeChild; readonly backing?: BlockNodeChild | null }
    | {
        /** Writes to all children; of reads as many as `vote-threshold` must be alike, unless `read-pattern` says otherwise. */
        readonly driver: 'quorum'
        readonly children: readonly BlockNodeChild[]
        readonly 'vote-threshold': number
        /** `fifo`: reads from the first child that can. Default `quorum`. */
        readonly 'read-pattern'?: 'quorum' | 'fifo'
      }
    /** Reads both and ends the process where they differ, with words about it on standard error. */
    | { readonly driver: 'blkverify'; readonly raw: BlockNodeChild; readonly test: BlockNodeChild }
    | { readonly driver: 'null-co'; readonly size?: number; readonly 'read-zeroes'?: boolean }
    | {
        readonly driver: 'nbd'
        readonly server: NbdAddress
        readonly export?: string
        /** How long requests wait for a server that has gone, seconds. */
        readonly 'reconnect-delay'?: number
        /** How long to try to connect at first, seconds. QEMU 7.0. */
        readonly 'open-timeout'?: number
      }
    | {
        readonly driver: 'rbd'
        readonly pool: string
        readonly namespace?: string
        readonly image: string
        readonly snapshot?: string
        readonly user?: string
        readonly conf?: string
      }
  )

export type BlockNodeChild = string | BlockNodeOptions

/** All nodes, each by itself. @throws SkilfishError of {@link QmpClient.execute} */
export async function queryBlockNodes(qemu: QmpClient): Promise<readonly BlockNode[]> {
  const command = 'query-named-block-nodes'
  return Fields.ofList(command, await qemu.execute(command, { flat: true })).map(toBlockNode)
}

/**
 * Names of all nodes. Unlike {@link queryBlockNodes} it reads nothing: that reads the start of images of Ceph, and hangs and fails with it.
 * @throws SkilfishError of {@link QmpClient.execute}
 */
export async function queryNodeNames(qemu: QmpClient): Promise<ReadonlySet<string>> {
  const command = 'query-blockstats'
  const nodes = Fields.ofList(command, await qemu.execute(command, { 'query-nodes': true }))
  return new Set(nodes.flatMap((node) => node.optionalText('node-name') ?? []))
}

/** Opens a node. Errors of opening come here, and leave the others alone. */
export async function addBlockNode(
  qemu: QmpClient,
  options: BlockNodeOptions & { 'node-name': string },
): Promise<void> {
  await qemu.execute('blockdev-add', options)
}

/** Changes nodes, all or none: each option that is left out goes back to its default. QEMU 6.1. Waits for requests under way. */
export async function reopenBlockNodes(
  qemu: QmpClient,
  nodes: readonly (BlockNodeOptions & { 'node-name': string })[],
  timeoutMs?: number,
): Promise<void> {
  await qemu.execute('blockdev-reopen', { options: nodes }, timeoutMs === undefined ? {} : { timeoutMs })
}

/** Closes a node that nothing uses: of a chain the top first. */
export async function deleteBlockNode(qemu: QmpClient, nodeName: string): Promise<void> {
  await qemu.execute('blockdev-del', { 'node-name': nodeName })
}

function toBlockNode(node: Fields): BlockNode {
  return {
    nodeName: node.text('node-name'),
    driver: node.text('drv'),
    isReadOnly: node.flag('ro'),
    filename: node.text('file'),
    sizeBytes: node.object('image').count('virtual-size'),
    backingFilename: node.optionalText('backing_file'),
    dirtyBitmaps: node.list('dirty-bitmaps').map((bitmap) => ({
      name: bitmap.optionalText('name') ?? '',
      dirtyBytes: bitmap.count('count'),
      granularityBytes: bitmap.count('granularity'),
      isRecording: bitmap.flag('recording'),
      isBusy: bitmap.flag('busy'),
      isPersistent: bitmap.flag('persistent'),
      isInconsistent: bitmap.optionalFlag('inconsistent') ?? false,
    })),
  }
}
