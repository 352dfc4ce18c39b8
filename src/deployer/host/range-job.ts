import { setTimeout as delay } from 'node:timers/promises'
import { SkilfishError } from '../../errors.ts'
import { queryBlockJobs, waitForBlockJob } from '../../qmp/index.ts'
import { forEach, pieces, totalBytes, type ImageRange } from '../extents.ts'
import { BITMAP_GRANULARITY_BYTES } from './block-graph.ts'
import type { NbdClient } from './nbd-client.ts'
import type { StorageDaemon } from './storage-daemon.ts'

const MARKS = 'marks'
const JOB = 'job'

/** How often a job is asked how far it is, milliseconds. */
const POLL_MS = 200

/** How long a job may have no progress: storage that is stopped for a while must be waited for, milliseconds. */
const STALL_MS = 120_000

/** A job may take long under a cap; that it stalls is noticed otherwise. */
const JOB_TIMEOUT_MS = 2 ** 31 - 1

/** What is marked by one request, bytes: QEMU writes zeros for it to a node that keeps nothing. Requests under way at a time. */
const MARK_BYTES = 32 * 1024 * 1024
const MARK_DEPTH = 32

/** Under a cap requests are short, so that it holds for seconds and not only for minutes, bytes. */
const CAPPED_REQUEST_BYTES = 64 * 1024

export interface RangeJobHooks {
  readonly signal: AbortSignal
  /** 0 for no cap. */
  readonly bytesPerSec: number
  /** Bytes of the ranges that are done since the last call. */
  readonly onDone: (byteCount: number) => void
}

/**
 * Has a storage daemon copy ranges of one of its nodes to another, by backup jobs: no byte passes this process. A job goes by a bitmap, and
 * only what is written sets one: so the ranges are written to a node that keeps nothing, and the bitmap merged from there.
 */
export class RangeJob {
  readonly #daemon: StorageDaemon
  readonly #device: string
  readonly #target: string
  readonly #marks: NbdClient
  #runCount = 0

  private constructor(daemon: StorageDaemon, device: string, target: string, marks: NbdClient) {
    this.#daemon = daemon
    this.#device = device
    this.#target = target
    this.#marks = marks
  }

  /** @param sizeBytes of both nodes. One of these at a time in a daemon. */
  static async open(daemon: StorageDaemon, device: string, target: string, sizeBytes: number): Promise<RangeJob> {
    await daemon.add({ driver: 'null-co', 'node-name': MARKS, size: sizeBytes })
    return new RangeJob(daemon, device, target, await daemon.open(MARKS, true))
  }

  /**
   * Copies these ranges, which begin and end at clusters of the overlay or the end of the image. One call at a time.
   * @returns why it failed, or undefined when all is copied @throws the reason of the signal; then the daemon must be stopped
   */
  async run(ranges: readonly ImageRange[], hooks: RangeJobHooks): Promise<string | undefined> {
    const { qmp } = this.#daemon
    const { signal, bytesPerSec } = hooks
    const bitmap = `ranges-${this.#runCount++}`
    await this.#mark(bitmap, ranges)
    signal.throwIfAborted()
    const stop = new AbortController()
    const end = waitForBlockJob(qmp, JOB, JOB_TIMEOUT_MS)
    const perf = bytesPerSec === 0 ? {} : { 'x-perf': { 'max-chunk': CAPPED_REQUEST_BYTES } }
    await qmp.execute('blockdev-backup', {
      ...{ 'job-id': JOB, device: this.#device, target: this.#target, speed: bytesPerSec, ...perf },
      ...{ sync: 'bitmap', bitmap, 'bitmap-mode': 'never' },
    })
    const watch = this.#watch(hooks, AbortSignal.any([stop.signal, signal]))
    try {
      const failure = await Promise.race([end, watch.then(() => end)])
      signal.throwIfAborted()
      stop.abort()
      const toldBytes = await watch
      if (failure === undefined) hooks.onDone(totalBytes(ranges) - toldBytes)
      return failure
    } finally {
      stop.abort()
      await watch.catch(() => undefined)
      for (const node of signal.aborted ? [] : [this.#device, MARKS]) {
        await qmp.execute('block-dirty-bitmap-remove', { node, name: bitmap }).catch(() => undefined)
      }
    }
  }

  /** Ends its connection; the daemon is for the caller to stop. */
  close(): Promise<void> {
    return this.#marks.close()
  }

  async #mark(name: string, ranges: readonly ImageRange[]): Promise<void> {
    const { qmp } = this.#daemon
    for (const node of [MARKS, this.#device]) {
      await qmp.execute('block-dirty-bitmap-add', { node, name, granularity: BITMAP_GRANULARITY_BYTES })
    }
    await forEach(pieces(ranges, MARK_BYTES), MARK_DEPTH, ({ offset, lengthBytes }) =>
      this.#marks.zero(offset, lengthBytes),
    )
    const merge = { node: this.#device, target: name, bitmaps: [{ node: MARKS, name }] }
    await qmp.execute('block-dirty-bitmap-merge', merge)
  }

  /** Tells of progress until it is stopped. @returns how much it told of @throws the reason of the hooks' signal, or SkilfishError when there is no progress */
  async #watch({ signal, onDone }: RangeJobHooks, stopped: AbortSignal): Promise<number> {
    let doneBytes = 0
    let progressMs = performance.now()
    for (;;) {
      await delay(POLL_MS, undefined, { signal: stopped }).catch(() => undefined)
      signal.throwIfAborted()
      if (stopped.aborted) return doneBytes
      const job = (await queryBlockJobs(this.#daemon.qmp)).find(({ id }) => id === JOB)
      if (job === undefined) return doneBytes
      if (job.doneBytes > doneBytes) {
        onDone(job.doneBytes - doneBytes)
        doneBytes = job.doneBytes
        progressMs = performance.now()
      } else if (performance.now() - progressMs > STALL_MS) {
        throw new SkilfishError('QEMU_FAILED', `cannot copy: a job of QEMU has made no progress for ${STALL_MS} ms`)
      }
    }
  }
}
