import { Fields } from './fields.ts'
import type { QmpClient } from './qmp-client.ts'

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

/** The jobs that keep nodes busy. @throws SkilfishError of {@link QmpClient.execute}; so do all here */
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
  options: {
    readonly 'job-id': string
    readonly device: string
    /** Where copying ends. Default: everything behind `device` is copied. */
    readonly 'base-node'?: string
    /** What to write into the header for the base. Default its file name. */
    readonly 'backing-file'?: string
  },
): Promise<void> {
  await qemu.execute('block-stream', options)
}
