import { SkilfishError } from '../../errors.ts'
import {
  addBlockNode,
  continueGuest,
  deleteBlockNode,
  queryBlockJobs,
  queryBlockNodes,
  queryNodeNames,
  queryStatus,
  queryYankableNodes,
  reopenBlockNodes,
  startBlockStream,
  waitForBlockJob,
  yankBlockNodes,
  type BlockJob,
  type QmpClient,
} from '../../qmp/index.ts'
import type { RemoteImage, StepRequest, SwitchReport } from '../host-protocol.ts'
import { localNode, NODE, overlayNode } from './block-graph.ts'
import { requireOwn } from './own-overlay.ts'
import { HostFolder, readJson, writeJson, type VmFolder, type VmJournal } from './host-folder.ts'
import { findLocalCopy, type LocalCopy } from './local-copy.ts'
import { NbdClient } from './nbd-client.ts'
import { connectQemu, tcpPeers, type Peer } from './qemu-process.ts'
import { nbdPlace, storagePeers } from './storage-peers.ts'
import { runTool } from './tool.ts'

type SwitchRequest = StepRequest & { step: 'switch' }

/** How long the storage may take to answer before its connection is cut, milliseconds. */
const PROBE_TIMEOUT_MS = 1000

/** How long QEMU may wait for requests to the storage before they are cut off, milliseconds. */
const DRAIN_PATIENCE_MS = 2000

/** How long the change of the base may take: requests to a stopped Ceph cluster end after their own timeout, milliseconds. */
const REOPEN_TIMEOUT_MS = 60_000

/** How long connections to the storage may take to close, milliseconds. */
const CLOSE_TIMEOUT_MS = 5000

/** How long the rewriting of the overlay's header may take, milliseconds. */
const HEADER_TIMEOUT_MS = 30_000

const HEADER_JOB = 'header'

/**
 * Gives a running virtual machine its local copy for a base instead of the storage, and proves that nothing leads to the storage any
 * more, as far as {@link storagePeers} tells what does. Again after anything: each part looks at what is there. Whatever fails, the
 * machine stays over a base with the right content.
 *
 * Order (measured with QEMU 7.2): compare sizes; add the local node; reopen the overlay over it; write its name and format into the
 * overlay's header by a stream job with nothing to copy; delete the remote nodes, which closes their connections. Nothing before the
 * reopen asks QEMU what would have it read the storage, which may hang. QEMU does commands in their order, but between two of them the
 * guest has its turn: what need not wait for an answer is asked at once.
 */
export async function switchBase(request: SwitchRequest): Promise<SwitchReport> {
  const host = new HostFolder(request.folder)
  const folder = host.vm(request.cluster, request.vm)
  const journal = await readJournal(request, folder)
  const local = await requireLocal(request, host, folder)
  const localPath = local.path
  await requireSize(request.vm, localPath, journal.sizeBytes)
  const { qmp, pid } = await connectQemu(folder, request.vm)
  try {
    const startedMs = performance.now()
    const [names, jobs, storage] = await Promise.all([
      queryNodeNames(qmp),
      queryBlockJobs(qmp),
      storagePeers(journal.remote),
    ])
    const before = countTo(storage, tcpPeers(pid))
    let reopened = { reopenMs: 0, wasYanked: false }
    if (names.has(NODE.remote)) {
      requireNoJobs(jobs, request.vm)
      await addLocal(qmp, local, names.has(NODE.local))
      try {
        // From here on a crash leaves it open which base the overlay has: both are right.
        await writeJson(folder.journal, { ...journal, base: 'switching', localPath } satisfies VmJournal)
        const isAnswering = await probe(journal.remote)
        reopened = await reopen(request, qmp, localPath, !isAnswering)
      } catch (error) {
        await deleteUnused(qmp, NODE.local).catch(() => undefined)
        throw error
      }
      await writeHeader(qmp, localPath)
    }
    // A try that was interrupted may have left any of these.
    const remotes = [NODE.remote, NODE.remoteProtocol].filter((name) => names.has(name))
    const [{ status }] = await Promise.all([queryStatus(qmp), ...remotes.map((name) => deleteBlockNode(qmp, name))])
    if (status === 'io-error') await continueGuest(qmp)
    const switchMs = performance.now() - startedMs

    const after = await waitUntilClosed(pid, storage)
    await writeJson(folder.journal, { ...journal, base: 'local', localPath } satisfies VmJournal)
    const left = (await queryBlockNodes(qmp)).filter(({ driver }) => driver === 'nbd' || driver === 'rbd')
    if (after > 0 || left.length > 0) {
      const text = `${after} connections and ${left.length} block nodes still lead to the storage`
      throw new SkilfishError('SWITCH_FAILED', `cannot prove that ${request.vm} is off the storage: ${text}`)
    }
    const wasLocal = !names.has(NODE.remoteProtocol)
    return { wasLocal, ...reopened, switchMs, connectionsBefore: before, connectionsAfter: after }
  } finally {
    qmp.close()
  }
}

async function readJournal(request: SwitchRequest, folder: VmFolder): Promise<VmJournal> {
  const journal = await readJson<VmJournal>(folder.journal)
  if (journal === undefined) {
    throw new SkilfishError('VM_STATE', `cannot switch ${request.vm}: it was never booted here; boot it first`)
  }
  requireOwn(request, journal)
  return journal
}

async function requireLocal(request: SwitchRequest, host: HostFolder, folder: VmFolder): Promise<LocalCopy> {
  const local = await findLocalCopy(host, folder, request)
  if ('path' in local) return local
  const text = `${local.reason}; fetch first, it stays on the storage until then`
  throw new SkilfishError('BASE_UNFIT', `cannot switch ${request.vm}: ${text}`)
}

function requireNoJobs([job]: readonly BlockJob[], vm: string): void {
  if (job === undefined) return
  const text = `QEMU works at a block job (${job.type}, ${job.id}), which the base must not change under; end it first`
  throw new SkilfishError('SWITCH_REFUSED', `cannot switch ${vm}: ${text}`)
}

/**
 * QEMU does not compare them, and reads zeros behind the end of a smaller one.
 * @throws SkilfishError BASE_UNFIT when the local copy is not as large as the storage's image, which the overlay has its size of
 */
async function requireSize(vm: string, localPath: string, sizeBytes: number): Promise<void> {
  const text = await runTool('QEMU_FAILED', 'qemu-img', ['info', '-U', '--output=json', localPath])
  const { 'virtual-size': localBytes } = JSON.parse(text) as { 'virtual-size': number }
  if (localBytes === sizeBytes) return
  const sizes = `${localPath} has ${localBytes} bytes, the storage ${sizeBytes}`
  throw new SkilfishError('BASE_UNFIT', `cannot switch ${vm}: ${sizes}; it stays on the storage`)
}

/**
 * Adds the local copy beside the storage's node. One that a try before has left may be of a file that was replaced since: unless it is the
 * overlay's base already, which QEMU does not delete, it is added anew.
 */
async function addLocal(qmp: QmpClient, local: LocalCopy, isThere: boolean): Promise<void> {
  if (isThere && !(await deleteUnused(qmp, NODE.local))) return
  await addBlockNode(qmp, localNode(local.basePath, local.uniquePath))
}

/** @returns whether it was deleted; false for a node that is in use */
async function deleteUnused(qmp: QmpClient, nodeName: string): Promise<boolean> {
  try {
    await deleteBlockNode(qmp, nodeName)
    return true
  } catch (error) {
    if (error instanceof SkilfishError && error.code === 'QMP_REFUSED') return false
    throw error
  }
}

/** Reads a block where that can be done without QEMU. @returns false when the storage does not answer */
async function probe(remote: RemoteImage | undefined): Promise<boolean> {
  const place = nbdPlace(remote)
  if (place === undefined) return true
  try {
    const client = await NbdClient.connect(place, place.exportName, PROBE_TIMEOUT_MS)
    await client.read(0, Math.min(4096, client.sizeBytes))
    await client.close()
    return true
  } catch {
    return false
  }
}

/** Changes the base. Requests that wait for a storage that is not there are cut off; the guest pauses, and its requests are tried again. */
async function reopen(
  request: SwitchRequest,
  qmp: QmpClient,
  localPath: string,
  isCutAtOnce: boolean,
): Promise<{ reopenMs: number; wasYanked: boolean }> {
  const yankable = (await queryYankableNodes(qmp)).filter((name) => name === NODE.remoteProtocol)
  const cut = { wasYanked: false }
  const yank = async (): Promise<void> => {
    if (yankable.length === 0) return
    cut.wasYanked = true
    await yankBlockNodes(qmp, yankable)
  }
  if (isCutAtOnce) {
    await requireReadable(request.vm, localPath)
    await yank()
  }
  const timer = setTimeout(() => void yank().catch(() => undefined), DRAIN_PATIENCE_MS)
  const startedMs = performance.now()
  try {
    await reopenBlockNodes(qmp, [overlayNode(NODE.local)], REOPEN_TIMEOUT_MS)
    return { reopenMs: performance.now() - startedMs, wasYanked: cut.wasYanked }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const state = cut.wasYanked ? 'it is paused, and its storage was cut off' : 'it stays on the storage'
    const text = `QEMU does not change the base (${reason}); ${state}`
    throw new SkilfishError('SWITCH_REFUSED', `cannot switch ${request.vm}: ${text}`, { cause })
  } finally {
    clearTimeout(timer)
  }
}

/** A connection that was cut does not come back: before that, it must be sure that QEMU can take the local copy. */
async function requireReadable(vm: string, path: string): Promise<void> {
  try {
    await runTool('SWITCH_REFUSED', 'qemu-io', ['-r', '-c', 'read 0 512', path])
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const text = `the storage does not answer, and the local copy cannot be read (${reason})`
    throw new SkilfishError('SWITCH_REFUSED', `cannot switch ${vm}: ${text}`, { cause })
  }
}

async function writeHeader(qmp: QmpClient, localPath: string): Promise<void> {
  const done = waitForBlockJob(qmp, HEADER_JOB, HEADER_TIMEOUT_MS)
  await startBlockStream(qmp, {
    'job-id': HEADER_JOB,
    device: NODE.overlay,
    'base-node': NODE.local,
    'backing-file': localPath,
  })
  const failure = await done
  if (failure !== undefined) throw new SkilfishError('SWITCH_FAILED', `cannot write the overlay's header: ${failure}`)
}

const countTo = (isStorage: (peer: Peer) => boolean, peers: readonly Peer[]): number => peers.filter(isStorage).length

async function waitUntilClosed(pid: number, isStorage: (peer: Peer) => boolean): Promise<number> {
  const deadlineMs = performance.now() + CLOSE_TIMEOUT_MS
  for (;;) {
    const count = countTo(isStorage, tcpPeers(pid))
    if (count === 0 || performance.now() > deadlineMs) return count
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
