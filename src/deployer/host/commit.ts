import { stat } from 'node:fs/promises'
import { SkilfishError } from '../../errors.ts'
import { queryBlockNodes } from '../../qmp/index.ts'
import { forEach, pieces, totalBytes, type ImageRange } from '../extents.ts'
import type { CommitReport, StepHooks, StepRequest } from '../host-protocol.ts'
import { findBase } from './base-cache.ts'
import { ByteRate } from './byte-rate.ts'
import type { NbdClient } from './nbd-client.ts'
import { BITMAP, localNode, NODE, overlayFileNode, overlayNode, remoteNodes, type NamedNode } from './block-graph.ts'
import { HostFolder, readJson, writeJson, type VmFolder, type VmJournal } from './host-folder.ts'
import { findQemu } from './qemu-process.ts'
import { StorageDaemon } from './storage-daemon.ts'
import { runTool } from './tool.ts'

type CommitRequest = StepRequest & { step: 'commit' }

const TARGET = 'target'

/** Bytes copied or compared at once, and how many of these are under way at a time. */
const PIECE_BYTES = 1024 * 1024
const DEPTH = 8

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
  const daemon = await StorageDaemon.start(folder.path)
  try {
    const nodes = await baseNodes(request, host, folder, journal)
    for (const node of nodes) await daemon.add(node)
    await daemon.add({ ...overlayFileNode(folder.overlay), 'read-only': true })
    const isLocal = nodes.some(({ 'node-name': name }) => name === NODE.local)
    await daemon.add({ ...overlayNode(isLocal ? NODE.local : NODE.remote), 'read-only': true })
    // Zeros take no room in the storage.
    const sparse = { discard: 'unmap', 'detect-zeroes': 'unmap' } as const
    await daemon.add({ driver: 'raw', 'node-name': TARGET, file: { ...request.target, discard: 'unmap' }, ...sparse })
    const node = (await queryBlockNodes(daemon.qmp)).find(({ nodeName }) => nodeName === NODE.overlay)
    const bitmap = node?.dirtyBitmaps.find(({ name, isInconsistent }) => name === BITMAP && !isInconsistent)
    const by = bitmap === undefined ? 'overlay' : 'bitmap'
    const startedMs = performance.now()
    const ranges = by === 'bitmap' ? await dirtyRanges(daemon) : await allocatedRanges(folder)
    const [overlay, target] = [await daemon.open(NODE.overlay, false), await daemon.open(TARGET, true)]
    const committedBytes = totalBytes(ranges)
    await copy(overlay, target, ranges, request.bytesPerSec, hooks)
    const copiedMs = performance.now()
    await verify(overlay, target, ranges, request.vm, hooks.signal)
    await Promise.all([overlay.close(), target.close()])
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

/**
 * Copies by reading and writing through QEMU. `blockdev-backup` copies cluster by cluster, which took RBD 2.6 times as long
 * (bench/results/commit.md).
 */
async function copy(
  overlay: NbdClient,
  target: NbdClient,
  ranges: readonly ImageRange[],
  bytesPerSec: number,
  { signal, onProgress }: StepHooks,
): Promise<void> {
  const rate = new ByteRate(bytesPerSec)
  const wholeBytes = totalBytes(ranges)
  await forEach(pieces(ranges, PIECE_BYTES), DEPTH, async ({ offset, lengthBytes }) => {
    await rate.take(lengthBytes, signal)
    await target.write(offset, await overlay.read(offset, lengthBytes))
    rate.done(lengthBytes)
    onProgress((100 * rate.totalBytes) / wholeBytes, rate.bitsPerSec)
  })
  await target.flush()
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

async function verify(
  overlay: NbdClient,
  target: NbdClient,
  ranges: readonly ImageRange[],
  vm: string,
  signal: AbortSignal,
): Promise<void> {
  await forEach(pieces(ranges, PIECE_BYTES), DEPTH, async ({ offset, lengthBytes }) => {
    signal.throwIfAborted()
    const [wanted, written] = await Promise.all([overlay.read(offset, lengthBytes), target.read(offset, lengthBytes)])
    if (wanted.equals(written)) return
    const text = `what the storage has from ${offset} to ${offset + lengthBytes} is not what was written`
    throw new SkilfishError('COMMIT_FAILED', `cannot commit ${vm}: ${text}`)
  })
}
