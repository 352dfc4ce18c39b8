import { Fields } from './fields.ts'
import type { QmpClient } from './qmp-client.ts'

/** A job that QEMU works at: of blocks or another kind. */
export interface Job {
  readonly id: string
  /** `stream`, `commit`, `mirror`, `backup`, `create` … */
  readonly type: string
  /** `created`, `running`, `paused`, `ready`, `standby`, `waiting`, `pending`, `aborting`, `concluded` or `null`. */
  readonly status: string
  /** In a unit of QEMU's own: of blocks, bytes. */
  readonly currentProgress: number
  readonly totalProgress: number
  readonly error: string | undefined
}

/** A job of blocks. */
export interface BlockJob {
  readonly id: string
  readonly type: string
  readonly status: string
  readonly isReady: boolean
  readonly ioStatus: string
  /** Bytes done, and to be done in all; that may change. */
  readonly doneBytes: number
  readonly totalBytes: number
  /** Cap, bytes per second; 0 for none. */
  readonly bytesPerSec: number
}

interface JobOptions {
  readonly 'job-id': string
  /** Cap, bytes per second. Default none. */
  readonly speed?: number
}

/** All jobs, also those that are over and not yet dismissed. @throws SkilfishError of {@link QmpClient.execute}; so do all here */
export async function queryJobs(qemu: QmpClient): Promise<readonly Job[]> {
  return Fields.ofList('query-jobs', await qemu.execute('query-jobs')).map((job) => ({
    id: job.text('id'),
    type: job.text('type'),
    status: job.text('status'),
    currentProgress: job.count('current-progress'),
    totalProgress: job.count('total-progress'),
    error: job.optionalText('error'),
  }))
}

/** The jobs that keep nodes busy. */
export async function queryBlockJobs(qemu: QmpClient): Promise<readonly BlockJob[]> {
  return Fields.ofList('query-block-jobs', await qemu.execute('query-block-jobs')).map((job) => ({
    id: job.text('device'),
    type: job.text('type'),
    status: job.text('status'),
    isReady: job.flag('ready'),
    ioStatus: job.text('io-status'),
    doneBytes: job.count('offset'),
    totalBytes: job.count('len'),
    bytesPerSec: job.count('speed'),
  }))
}

/**
 * Waits until a job of blocks is over: its event, from now on. Call it before the job is started.
 * @returns why it failed or that it was cancelled, or undefined when all is done
 * @throws SkilfishError of {@link QmpClient.waitForEvent}
 */
export function waitForBlockJob(qmp: QmpClient, jobId: string, timeoutMs: number): Promise<string | undefined> {
  const end = qmp.waitForEvent(
    `the end of the job ${jobId}`,
    ({ name, data }) => data['device'] === jobId && (name === 'BLOCK_JOB_COMPLETED' || name === 'BLOCK_JOB_CANCELLED'),
    timeoutMs,
  )
  const reason = end.then(({ name, data }) =>
    name === 'BLOCK_JOB_CANCELLED' ? 'it was cancelled' : new Fields(name, data).optionalText('error'),
  )
  // The command that starts the job may fail: then nobody looks at this.
  reason.catch(() => undefined)
  return reason
}

/** Copies what lies between a node and `base-node` into the node. With nothing between, it writes the name and format of its base into its header, and no more. */
export async function startBlockStream(
  qemu: QmpClient,
  options: JobOptions & {
    readonly device: string
    /** Where copying ends. Default: everything behind `device` is copied. */
    readonly 'base-node'?: string
    /** What to write into the header for the base. Default its file name. */
    readonly 'backing-file'?: string
  },
): Promise<void> {
  await qemu.execute('block-stream', options)
}

/** Copies a node, or what a dirty bitmap marks of it, to another node. */
export async function startBackup(
  qemu: QmpClient,
  options: JobOptions & { readonly device: string; readonly target: string } & (
      | { readonly sync: 'full' | 'top' | 'none' }
      | { readonly sync: 'bitmap' | 'incremental'; readonly bitmap: string; readonly 'bitmap-mode'?: BitmapMode }
    ),
): Promise<void> {
  await qemu.execute('blockdev-backup', options)
}

/** When a backup by a bitmap clears it: when it succeeded, never, or always. */
export type BitmapMode = 'on-success' | 'never' | 'always'

/** Ends a job as it may end before it is done. */
export async function cancelBlockJob(qemu: QmpClient, jobId: string, isForced = false): Promise<void> {
  await qemu.execute('block-job-cancel', { device: jobId, force: isForced })
}

/** Caps a job, bytes per second; 0 lifts the cap. */
export async function setBlockJobSpeed(qemu: QmpClient, jobId: string, bytesPerSec: number): Promise<void> {
  await qemu.execute('block-job-set-speed', { device: jobId, speed: bytesPerSec })
}

/** Begins to mark what is written to a node. `granularity`: a power of two, 512 to 2^31 bytes. */
export async function addDirtyBitmap(
  qemu: QmpClient,
  options: {
    readonly node: string
    readonly name: string
    readonly granularity?: number
    /** Kept in the node's file, which must be qcow2. Default false. */
    readonly persistent?: boolean
  },
): Promise<void> {
  await qemu.execute('block-dirty-bitmap-add', options)
}

/** Forgets a bitmap. */
export async function removeDirtyBitmap(qemu: QmpClient, node: string, name: string): Promise<void> {
  await qemu.execute('block-dirty-bitmap-remove', { node, name })
}

/** Marks nothing any more, and goes on to mark. */
export async function clearDirtyBitmap(qemu: QmpClient, node: string, name: string): Promise<void> {
  await qemu.execute('block-dirty-bitmap-clear', { node, name })
}
