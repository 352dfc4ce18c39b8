import { stat } from 'node:fs/promises'
import { SkilfishError } from '../../errors.ts'
import { queryBlockNodes, type BlockNodeOptions } from '../../qmp/index.ts'
import { portions, totalBytes, type ImageRange } from '../extents.ts'
import type { CommitReport, StepHooks, StepRequest } from '../host-protocol.ts'
import { ByteRate } from './byte-rate.ts'
import { BITMAP, localNode, NODE, overlayFileNode, overlayNode, remoteNodes, type NamedNode } from './block-graph.ts'
import { HostFolder, readJson, writeJson, type VmFolder, type VmJournal } from './host-folder.ts'
import { mappedRanges } from './image-map.ts'
import { findQemu } from './qemu-process.ts'
import { withWholeObjects } from './ceph-conf.ts'
import { findLocalCopy } from './local-copy.ts'
import { requireOwn } from './own-overlay.ts'
import { RangeJob } from './range-job.ts'
import { StorageDaemon } from './storage-daemon.ts'

type CommitRequest = StepRequest & { step: 'commit' }

const TARGET = 'target'
const INTO = 'into'
const GIVEN = 'given'
const UNKNOWN = 'unknown'
const WRITTEN = 'written'
const BOTH = 'both'
const NOWHERE = 'nowhere'

/** What is written before it is read back, while the next is written, bytes. */
const PORTION_BYTES = 64 * 1024 * 1024

/**
 * Writes what the guest has changed since the last commit into the machine's own image, and reads it back. The overlay stays as it is,
 * its bitmap too: whether the commit counts is for the caller to say, by the step `committed`.
 */
export async function commit(request: CommitRequest, hooks: StepHooks): Promise<CommitReport> {
  const host = new HostFolder(request.folder)
  const folder = host.vm(request.cluster, request.vm)
  const journal = await requireOverlay(request, folder)
  if (journal.committedAs === request.generation) {
    return { by: 'bitmap', committedBytes: 0, copyMs: 0, verifyMs: 0 }
  }
  const nodes = await baseNodes(request, host, folder, journal)
  // Two, as the start of a job waits for all requests of its daemon; and what reads back has nothing that the writer has in memory.
  const started = await Promise.allSettled([StorageDaemon.start(folder.path), StorageDaemon.start(folder.path)])
  try {
    const [writer, reader] = started.map((one) => {
      if (one.status === 'rejected') throw one.reason
      return one.value
    }) as [StorageDaemon, StorageDaemon]
    await Promise.all([addOverlay(writer, nodes, folder), addOverlay(reader, nodes, folder)])
    const node = (await queryBlockNodes(writer.qmp)).find(({ nodeName }) => nodeName === NODE.overlay)
    if (node === undefined) throw new SkilfishError('QEMU_FAILED', `cannot commit ${request.vm}: QEMU lost the overlay`)
    const bitmap = node.dirtyBitmaps.find(({ name, isInconsistent }) => name === BITMAP && !isInconsistent)
    const by = bitmap === undefined ? 'overlay' : 'bitmap'
    const startedMs = performance.now()
    const [ranges, copy, verify] = await Promise.all([
      by === 'bitmap' ? dirtyRanges(writer) : allocatedRanges(folder),
      openCopy(writer, request.target, node.sizeBytes),
      openVerify(reader, request.target, node.sizeBytes),
    ])
    const copiedMs = await copyAndVerify({ copy, verify, reader, ranges, request, hooks })
    await flush(writer)
    await Promise.all([copy.close(), verify.close()])
    const verifyMs = performance.now() - copiedMs
    return { by, committedBytes: totalBytes(ranges), copyMs: copiedMs - startedMs, verifyMs }
  } finally {
    await Promise.all(started.flatMap((one) => (one.status === 'fulfilled' ? one.value.stop() : [])))
  }
}

/** The storage has the overlay's content as a new generation: the overlay may be dropped, and its bitmap begins anew. */
export async function markCommitted(request: StepRequest & { step: 'committed' }): Promise<void> {
  const folder = new HostFolder(request.folder).vm(request.cluster, request.vm)
  const journal = await readJson<VmJournal>(folder.journal)
  // A newer overlay, and one of another image, is not what was committed.
  if (journal?.image !== request.image || journal.generation >= request.generation) return
  await writeJson(folder.journal, { ...journal, committedAs: request.generation } satisfies VmJournal)
}

async function requireOverlay(request: CommitRequest, folder: VmFolder): Promise<VmJournal> {
  const journal = await readJson<VmJournal>(folder.journal)
  const fail = (text: string): SkilfishError => new SkilfishError('VM_STATE', `cannot commit ${request.vm}: ${text}`)
  if (journal === undefined || (await stat(folder.overlay).catch(() => undefined)) === undefined) {
    throw fail(`it has no overlay in ${folder.path}; nothing can be committed`)
  }
  if ((await findQemu(folder)) !== undefined) throw fail('it runs; shut it down first')
  if (journal.committedAs !== request.generation)
    requireOwn({ ...request, generation: request.generation - 1 }, journal)
  return journal
}

async function baseNodes(
  request: CommitRequest,
  host: HostFolder,
  folder: VmFolder,
  journal: VmJournal,
): Promise<readonly NamedNode[]> {
  if (journal.base !== 'local') return remoteNodes(request.remote)
  const local = await findLocalCopy(host, folder, { ...request, generation: journal.generation })
  return 'path' in local ? [localNode(local.basePath, local.uniquePath)] : remoteNodes(request.remote)
}

async function addOverlay(daemon: StorageDaemon, nodes: readonly NamedNode[], folder: VmFolder): Promise<void> {
  for (const node of nodes) await daemon.add(node)
  await daemon.add({ ...overlayFileNode(folder.overlay), 'read-only': true })
  const isLocal = nodes.some(({ 'node-name': name }) => name === NODE.local)
  await daemon.add({ ...overlayNode(isLocal ? NODE.local : NODE.remote), 'read-only': true })
}

async function openCopy(daemon: StorageDaemon, image: BlockNodeOptions, sizeBytes: number): Promise<RangeJob> {
  // Zeros take no room in the storage.
  const sparse = { discard: 'unmap', 'detect-zeroes': 'unmap' } as const
  const file: BlockNodeOptions = {
    ...(await withWholeObjects(image, daemon.folder)),
    ...{ discard: 'unmap', cache: { direct: true } },
  }
  await daemon.add({ driver: 'raw', 'node-name': TARGET, file, ...sparse })
  // A backup goes by the target's clusters. Those of RBD are objects, of which all would be written; a quorum tells of none.
  await daemon.add({ driver: 'quorum', 'node-name': INTO, children: [TARGET], 'vote-threshold': 1 })
  return RangeJob.open(daemon, NODE.overlay, INTO, sizeBytes)
}

/**
 * Reading from `blkverify` ends the daemon where its two nodes differ; a backup to nowhere reads it. Before each read a backup asks what is
 * only zeros, which it would not read, and `blkverify` asks the first node for that, not the storage, which would have to be waited for. So
 * that zeros are read too, the first is one of which nothing is known: the first of a quorum that answers, but for what it knows all are asked.
 */
async function openVerify(daemon: StorageDaemon, image: BlockNodeOptions, sizeBytes: number): Promise<RangeJob> {
  await daemon.add({ ...image, 'node-name': WRITTEN, 'read-only': true, cache: { direct: true } })
  await daemon.add({ driver: 'null-co', 'node-name': UNKNOWN, size: sizeBytes, 'read-zeroes': false })
  const first = { children: [NODE.overlay, UNKNOWN], 'vote-threshold': 1, 'read-pattern': 'fifo' } as const
  await daemon.add({ driver: 'quorum', 'node-name': GIVEN, ...first, 'read-only': true })
  await daemon.add({ driver: 'blkverify', 'node-name': BOTH, raw: GIVEN, test: WRITTEN, 'read-only': true })
  await daemon.add({ driver: 'null-co', 'node-name': NOWHERE, size: sizeBytes })
  return RangeJob.open(daemon, BOTH, NOWHERE, sizeBytes)
}

interface Work {
  readonly copy: RangeJob
  readonly verify: RangeJob
  readonly reader: StorageDaemon
  readonly ranges: readonly ImageRange[]
  readonly request: CommitRequest
  readonly hooks: StepHooks
}

/** Reads each portion back while the next is written. @returns when all was written, by the clock of `performance` */
async function copyAndVerify({ copy, verify, reader, ranges, request, hooks }: Work): Promise<number> {
  const rate = new ByteRate(0)
  const wholeBytes = totalBytes(ranges)
  const onDone = (byteCount: number): void => {
    rate.done(byteCount)
    hooks.onProgress((100 * rate.totalBytes) / wholeBytes, rate.bitsPerSec)
  }
  const stop = new AbortController()
  const signal = AbortSignal.any([hooks.signal, stop.signal])
  const fail = (text: string): never => {
    throw new SkilfishError('COMMIT_FAILED', `cannot commit ${request.vm}: ${text}`)
  }
  const readBack = async (portion: readonly ImageRange[]): Promise<void> => {
    const failure = await verify
      .run(portion, { signal, bytesPerSec: 0, onDone: () => undefined })
      .catch(async (error: unknown) => {
        if (!(error instanceof SkilfishError) || error.code !== 'QMP_CLOSED') throw error
        return reader.ended
      })
    if (failure === undefined) return
    const [, offset, lengthBytes] = /blkverify: read offset=(\d+) bytes=(\d+) /.exec(failure) ?? []
    if (offset === undefined) fail(`what was written cannot be read back: ${failure}`)
    const end = Number(offset) + Number(lengthBytes)
    fail(`what the storage has from ${offset} to ${end} is not what was written, or cannot be read`)
  }
  let verified = Promise.resolve()
  try {
    for (const portion of portions(ranges, PORTION_BYTES)) {
      const failure = await copy.run(portion, { signal, bytesPerSec: request.bytesPerSec, onDone })
      if (failure !== undefined) fail(`the storage cannot be written: ${failure}`)
      verified = verified.then(() => readBack(portion))
      // Nothing more is written when it fails. Who waits for it below learns why.
      verified.catch((error: unknown) => stop.abort(error))
    }
    const copiedMs = performance.now()
    await verified
    return copiedMs
  } finally {
    stop.abort()
  }
}

/** A storage that is no cluster of Ceph may have kept what was written in memory. */
async function flush(writer: StorageDaemon): Promise<void> {
  const target = await writer.open(INTO, true)
  await target.flush()
  await target.close()
}

/** What the bitmap marks. QEMU's client of its own NBD exports takes marked parts for holes when it is told to look at a bitmap. */
function dirtyRanges(daemon: StorageDaemon): Promise<readonly ImageRange[]> {
  return daemon.withBitmap(NODE.overlay, BITMAP, (path, exportName) => {
    const place = `driver=nbd,server.type=unix,server.path=${path},export=${exportName}`
    const image = ['--image-opts', `${place},x-dirty-bitmap=qemu:dirty-bitmap:${BITMAP}`]
    return mappedRanges('QEMU_FAILED', image, ({ data }) => !data)
  })
}

/** What the overlay holds, whenever it was written. */
const allocatedRanges = (folder: VmFolder): Promise<readonly ImageRange[]> =>
  mappedRanges('QEMU_FAILED', ['-f', 'qcow2', folder.overlay], ({ depth, present }) => depth === 0 && present)
