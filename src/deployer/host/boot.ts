import { stat } from 'node:fs/promises'
import { SkilfishError } from '../../errors.ts'
import { makeFolder } from '../../io/index.ts'
import { continueGuest, QmpClient, queryNodeNames, queryStatus } from '../../qmp/index.ts'
import type { StepRequest, StepResults } from '../host-protocol.ts'
import { settleAccelerator } from './accelerator.ts'
import {
  BITMAP,
  BITMAP_GRANULARITY_BYTES,
  localNode,
  NODE,
  overlayFileNode,
  overlayNode,
  remoteNodes,
  type NamedNode,
} from './block-graph.ts'
import { withTimeouts } from './ceph-conf.ts'
import { removeCopy } from './copy-record.ts'
import {
  HostFolder,
  readJson,
  remove,
  removeStepFolders,
  writeJson,
  type VmFolder,
  type VmJournal,
} from './host-folder.ts'
import { findLocalCopy, type LocalCopy } from './local-copy.ts'
import { requireOwn } from './own-overlay.ts'
import { findQemu } from './qemu-process.ts'
import { runTool } from './tool.ts'

type BootRequest = StepRequest & { step: 'boot' }

/** How long QEMU may take to open its disks and listen, milliseconds. */
const START_TIMEOUT_MS = 60_000

/**
 * Starts a virtual machine on this host, over the storage or, where its local copy is there, over that. One that runs is left alone.
 * An overlay with changes that are not in the storage is gone on with, never dropped.
 */
export async function boot(request: BootRequest): Promise<StepResults['boot']> {
  const startedMs = performance.now()
  const host = new HostFolder(request.folder)
  const folder = host.vm(request.cluster, request.vm)
  await makeFolder(folder.path)
  const running = await findQemu(folder)
  if (running !== undefined) {
    const journal = await readJson<VmJournal>(folder.journal)
    if (journal !== undefined) {
      requireOwn(request, journal)
      if (journal.image !== request.image) await writeJson(folder.journal, { ...journal, image: request.image })
    }
    const base = await adopt(folder)
    return { pid: running, isAdopted: true, base, readyMs: performance.now() - startedMs }
  }
  await removeStepFolders(folder)
  const journal = await prepareOverlay(request, folder)
  const found = await findLocalCopy(host, folder, request)
  // Where it is not as it was, the overlay fits the storage as well.
  const local = 'path' in found ? found : undefined
  const isLocal = local !== undefined
  if (isLocal) await nameBase(folder, journal, local)
  const remote = isLocal ? request.remote : await withTimeouts(request.remote, folder)
  const base = isLocal ? [localNode(local.basePath, local.uniquePath)] : remoteNodes(remote)
  const localPath = local?.path ?? journal.localPath
  const present = { ...journal, remote, ...(localPath === undefined ? {} : { localPath }) }
  await writeJson(folder.journal, { ...present, base: isLocal ? 'local' : 'remote' } satisfies VmJournal)
  await remove(folder.qmpSocket)
  const nodes = [...base, overlayFileNode(folder.overlay), overlayNode(isLocal ? NODE.local : NODE.remote)]
  const { qemu, accelerator } = request.hardware
  const settled = await settleAccelerator(accelerator, qemu, folder.path)
  await runTool('QEMU_FAILED', qemu, qemuArguments(request, settled, folder, nodes), START_TIMEOUT_MS)
  const qmp = await QmpClient.connect(folder.qmpSocket, { patienceMs: START_TIMEOUT_MS })
  qmp.close()
  const pid = await findQemu(folder)
  if (pid === undefined) throw new SkilfishError('QEMU_FAILED', `cannot boot ${request.vm}: QEMU has ended`)
  return { pid, isAdopted: false, base: isLocal ? 'local' : 'remote', readyMs: performance.now() - startedMs }
}

/** Lets one go on that was paused by an error of the storage or of its disk: its requests are tried again. */
async function adopt(folder: VmFolder): Promise<'remote' | 'local'> {
  const qmp = await QmpClient.connect(folder.qmpSocket)
  try {
    if ((await queryStatus(qmp)).status === 'io-error') await continueGuest(qmp)
    return (await queryNodeNames(qmp)).has(NODE.remote) ? 'remote' : 'local'
  } finally {
    qmp.close()
  }
}

/** Makes an overlay where there is none, or none any more that is needed. */
async function prepareOverlay(request: BootRequest, folder: VmFolder): Promise<VmJournal> {
  const { generation, sizeBytes, image, base } = request
  const journal = await readJson<VmJournal>(folder.journal)
  const hasOverlay = journal !== undefined && (await stat(folder.overlay).catch(() => undefined)) !== undefined
  const isOwn = journal?.image === image
  if (hasOverlay && !(isOwn && journal.committedAs !== undefined && journal.committedAs <= generation)) {
    requireOwn(request, journal)
    return { ...journal, image }
  }
  // Its content is in the storage, or it was never complete.
  if (journal !== undefined) await remove(folder.journal)
  await remove(folder.overlay)
  if (journal !== undefined && !(isOwn && journal.generation === generation)) {
    await removeCopy(folder.uniquePath(journal.generation))
  }
  await runTool('QEMU_FAILED', 'qemu-img', ['create', '-q', '-f', 'qcow2', folder.overlay, String(sizeBytes)])
  const bitmap = ['--add', '-g', String(BITMAP_GRANULARITY_BYTES), folder.overlay, BITMAP]
  await runTool('QEMU_FAILED', 'qemu-img', ['bitmap', ...bitmap])
  const fresh: VmJournal = { image, template: base.identity, generation, sizeBytes, base: 'remote' }
  await writeJson(folder.journal, fresh)
  return fresh
}

/** Writes into the overlay's header what is to be behind it, for whoever opens it by hand: a switch does that too. */
async function nameBase(folder: VmFolder, journal: VmJournal, local: LocalCopy): Promise<void> {
  if (journal.base === 'local' && journal.localPath === local.path) return
  const base = ['-F', local.uniquePath === undefined ? 'raw' : 'qcow2', '-b', local.path]
  await runTool('QEMU_FAILED', 'qemu-img', ['rebase', '-q', '-u', '-f', 'qcow2', ...base, folder.overlay])
}

function qemuArguments(
  request: BootRequest,
  accelerator: string,
  folder: VmFolder,
  nodes: readonly NamedNode[],
): string[] {
  const { hardware, cluster, vm } = request
  const optional = (name: string, value: string | undefined): string[] => (value === undefined ? [] : [name, value])
  // Errors of reading the storage pause the guest: it goes on with the same request when there is a base again.
  const disk = `virtio-blk-pci,id=disk0,drive=${NODE.overlay},rerror=stop,werror=stop`
  return [
    ...['-name', `${cluster}/${vm}`, '-nodefaults', '-no-user-config', '-display', 'none', '-daemonize'],
    ...['-pidfile', folder.pidFile, '-accel', accelerator, '-cpu', 'max'],
    ...['-m', String(hardware.memoryMiB), '-smp', String(hardware.cpus)],
    ...['-qmp', `unix:${folder.qmpSocket},server=on,wait=off`],
    ...['-chardev', `socket,id=console,path=${folder.consoleSocket},server=on,wait=off`, '-serial', 'chardev:console'],
    ...nodes.flatMap((node) => ['-blockdev', JSON.stringify(node)]),
    ...['-device', disk],
    ...optional('-kernel', hardware.kernel),
    ...optional('-initrd', hardware.initrd),
    ...optional('-append', hardware.append),
    ...hardware.arguments,
  ]
}
