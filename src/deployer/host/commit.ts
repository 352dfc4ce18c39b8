import { stat } from 'node:fs/promises'
import { SkilfishError } from '../../errors.ts'
import { queryBlockJobs, queryBlockNodes, startBackup, waitForBlockJob } from '../../qmp/index.ts'
import { forEach, pieces, totalBytes, type ImageRange } from '../extents.ts'
import type { CommitReport, StepRequest } from '../host-protocol.ts'
import { findBase } from './base-cache.ts'
import { BITMAP, localNode, NODE, overlayFileNode, overlayNode, remoteNodes, type NamedNode } from './block-graph.ts'
import { HostFolder, readJson, writeJson, type VmFolder, type VmJournal } from './host-folder.ts'
import { findQemu } from './qemu-process.ts'
import { StorageDaemon } from './storage-daemon.ts'
import { runTool } from './tool.ts'

type CommitRequest = StepRequest & { step: 'commit' }

const TARGET = 'target'
const JOB = 'commit'

/** How long the copy may take, milliseconds: what a timer of Node.js holds. Its rate may be capped as low as anybody likes. */
const COPY_TIMEOUT_MS = 2_000_000_000

/** Bytes compared at once, and comparisons under way at a time. */
const PIECE_BYTES = 1024 * 1024
const DEPTH = 8

/**
 * Writes what the guest has changed since the last commit into the machine's own image, and reads it back. The overlay stays as it is,
 * its bitmap too: whether the commit counts is for the caller to say, by the step `committed`.
 */
export async function commit(
  request: CommitRequest,
  onProgress: (percent: number, bitsPerSec: number) => void,
): Promise<CommitReport> {
  const host = new HostFolder(request.folder)
  const folder = host.vm(request.cluster, request.vm)
  const journal = await requireOverlay(request, folder)
  if (journal.committedAs === request.generation) {
    return { by: 'bitmap', committedBytes: 0, copyMs: 0, verifyMs: 0 }
  }
  const daemon = await StorageDaemon.start(folder.path)
  try {
    const nodes = await baseNodes(request, host, folder, journal)
    for (const node of nodes) await daemon.add(node)
    await daemon.add({ ...overlayFileNode(folder.overlay), 'read-only': true })
    const isLocal = nodes.some(({ 'node-name': name }) => name === NODE.local)
    await daemon.add({ ...overlayNode(isLocal ? NODE.local : NODE.remote), 'read-only': true })
    await daemon.add({ driver: 'raw', 'node-name': TARGET, file: request.target })
    const overlay = (await queryBlockNodes(daemon.qmp)).find(({ nodeName }) => nodeName === NODE.overlay)
    const bitmap = overlay?.dirtyBitmaps.find(({ name, isInconsistent }) => name === BITMAP && !isInconsistent)
    const by = bitmap === undefined ? 'overlay' : 'bitmap'
    const startedMs = performance.now()
    const ranges = by === 'bitmap' ? await dirtyRanges(daemon) : await allocatedRanges(folder)
    const committedBytes = totalBytes(ranges)
    if (committedBytes > 0) await copy(daemon, by, request.bytesPerSec, onProgress)
    const copiedMs = performance.now()
    await verify(daemon, ranges, request.vm)
    return { by, committedBytes, copyMs: copiedMs - startedMs, verifyMs: performance.now() - copiedMs }
  } finally {
    await daemon.stop()
  }
}

/** The storage has the overlay's content as a new generation: the overlay may be dropped, and its bitmap begins anew. */
export async function markCommitted(request: StepRequest & { step: 'committed' }): Promise<void> {
  const folder = new HostFolder(request.folder).vm(request.cluster, request.vm)
  const journal = await readJson<VmJournal>(folder.journal)
  // A newer overlay is not what was committed.
  if (journal === undefined || journal.generation >= request.generation) return
  await writeJson(folder.journal, { ...journal, committedAs: request.generation } satisfies VmJournal)
}

async function requireOverlay(request: CommitRequest, folder: VmFolder): Promise<VmJournal> {
  const journal = await readJson<VmJournal>(folder.journal)
  const fail = (text: string): SkilfishError => new SkilfishError('VM_STATE', `cannot commit ${request.vm}: ${text}`)
  if (journal === undefined || (await stat(folder.overlay).catch(() => undefined)) === undefined) {
    throw fail(`it has no overlay in ${folder.path}; nothing can be committed`)
  }
  if ((await findQemu(folder)) !== undefined) throw fail('it runs; shut it down first')
  if (journal.generation !== request.generation - 1 && journal.committedAs !== request.generation) {
    throw fail(`its overlay is over generation ${journal.generation}, the storage has ${request.generation - 1}`)
  }
  return journal
}

async function baseNodes(
  request: CommitRequest,
  host: HostFolder,
  folder: VmFolder,
  journal: VmJournal,
): Promise<readonly NamedNode[]> {
  if (journal.base !== 'local') return remoteNodes(request.remote)
  const base = await findBase(host, request.base)
  if (!('path' in base)) return remoteNodes(request.remote)
  return [localNode(base.path, journal.generation === 0 ? undefined : folder.uniquePath(journal.generation))]
}

/** How often the job is asked how far it is, milliseconds. */
const LOOK_MS = 500

async function copy(
  daemon: StorageDaemon,
  by: CommitReport['by'],
  bytesPerSec: number,
  onProgress: (percent: number, bitsPerSec: number) => void,
): Promise<void> {
  const done = waitForBlockJob(daemon.qmp, JOB, COPY_TIMEOUT_MS)
  const common = { 'job-id': JOB, device: NODE.overlay, target: TARGET, speed: bytesPerSec }
  if (by === 'overlay') await startBackup(daemon.qmp, { ...common, sync: 'top' })
  else await startBackup(daemon.qmp, { ...common, sync: 'bitmap', bitmap: BITMAP, 'bitmap-mode': 'never' })
  const startedMs = performance.now()
  const timer = setInterval(() => {
    void queryBlockJobs(daemon.qmp)
      .then(([job]) => {
        if (job === undefined) return
        const elapsedMs = performance.now() - startedMs
        onProgress((100 * job.doneBytes) / Math.max(1, job.totalBytes), (8000 * job.doneBytes) / elapsedMs)
      })
      .catch(() => undefined)
  }, LOOK_MS)
  const failure = await done.finally(() => clearInterval(timer))
  if (failure !== undefined) throw new SkilfishError('COMMIT_FAILED', `cannot write to the image: ${failure}`)
}

/** What the bitmap marks. QEMU's client of its own NBD exports takes marked parts for holes when it is told to look at a bitmap. */
function dirtyRanges(daemon: StorageDaemon): Promise<readonly ImageRange[]> {
  return daemon.withBitmap(NODE.overlay, BITMAP, (path, exportName) => {
    const place = `driver=nbd,server.type=unix,server.path=${path},export=${exportName}`
    return mapped(['--image-opts', `${place},x-dirty-bitmap=qemu:dirty-bitmap:${BITMAP}`], ({ data }) => !data)
  })
}

/** What the overlay holds, whenever it was written. */
const allocatedRanges = (folder: VmFolder): Promise<readonly ImageRange[]> =>
  mapped(['-f', 'qcow2', folder.overlay], ({ depth, present }) => depth === 0 && present)

interface MapEntry {
  readonly start: number
  readonly length: number
  readonly depth: number
  readonly present: boolean
  readonly data: boolean
}

async function mapped(
  image: readonly string[],
  isWanted: (entry: MapEntry) => boolean,
): Promise<readonly ImageRange[]> {
  const text = await runTool('QEMU_FAILED', 'qemu-img', ['map', '--output=json', ...image])
  const entries = (JSON.parse(text) as MapEntry[]).filter(isWanted)
  return entries.map(({ start, length }) => ({ offset: start, lengthBytes: length }))
}

async function verify(daemon: StorageDaemon, ranges: readonly ImageRange[], vm: string): Promise<void> {
  const [written, wanted] = [await daemon.open(TARGET, false), await daemon.open(NODE.overlay, false)]
  await forEach(pieces(ranges, PIECE_BYTES), DEPTH, async ({ offset, lengthBytes }) => {
    const [a, b] = await Promise.all([written.read(offset, lengthBytes), wanted.read(offset, lengthBytes)])
    if (a.equals(b)) return
    const text = `what the storage has from ${offset} to ${offset + lengthBytes} is not what was written`
    throw new SkilfishError('COMMIT_FAILED', `cannot commit ${vm}: ${text}`)
  })
  await Promise.all([written.close(), wanted.close()])
}
