import { rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { SkilfishError } from '../../errors.ts'
import { powerDownGuest, QmpClient, queryStatus, quitQemu } from '../../qmp/index.ts'
import type { StepRequest, StepResults, VmStatus } from '../host-protocol.ts'
import { HostFolder, readJson, removeIfEmpty, type VmJournal } from './host-folder.ts'
import { findQemu, waitForExit } from './qemu-process.ts'

/** How long QEMU may take to end once told to, and to answer a question, milliseconds. */
const QUIT_TIMEOUT_MS = 30_000
const STATUS_TIMEOUT_MS = 3000

/** Presses the power button; a guest that takes no notice is turned off after `timeoutMs`. */
export async function shutDown(
  request: StepRequest & { step: 'shutdown' },
  signal: AbortSignal,
): Promise<StepResults['shutdown']> {
  const folder = new HostFolder(request.folder).vm(request.cluster, request.vm)
  const pid = await findQemu(folder)
  if (pid === undefined) return { how: 'down-already' }
  const qmp = await QmpClient.connect(folder.qmpSocket)
  try {
    await powerDownGuest(qmp)
    if (await waitForExit(pid, request.timeoutMs, signal)) return { how: 'powered-down' }
    // Its end may come before its answer.
    await quitQemu(qmp).catch(() => undefined)
  } finally {
    qmp.close()
  }
  if (await waitForExit(pid, QUIT_TIMEOUT_MS)) return { how: 'quit' }
  const text = `its QEMU (process ${pid}) does not end; the storage behind its disk may hang`
  throw new SkilfishError('QEMU_FAILED', `cannot shut down ${request.vm}: ${text}`)
}

/** What is known of a machine on this host. Asks its QEMU, which may hang. */
export async function status(request: StepRequest & { step: 'status' }): Promise<VmStatus> {
  const folder = new HostFolder(request.folder).vm(request.cluster, request.vm)
  const pid = await findQemu(folder)
  const journal = await readJson<VmJournal>(folder.journal)
  const overlay = await stat(folder.overlay).catch(() => undefined)
  const known =
    journal === undefined
      ? {}
      : { base: journal.base, generation: journal.generation, isCommitted: journal.committedAs !== undefined }
  const overlayBytes = overlay === undefined ? {} : { overlayBytes: overlay.blocks * 512 }
  if (pid === undefined) return { state: 'down', ...known, ...overlayBytes }
  return { state: await stateOf(folder.qmpSocket), pid, ...known, ...overlayBytes }
}

async function stateOf(socket: string): Promise<string> {
  try {
    const qmp = await QmpClient.connect(socket, { timeoutMs: STATUS_TIMEOUT_MS })
    try {
      return (await queryStatus(qmp)).status
    } finally {
      qmp.close()
    }
  } catch {
    return 'hung'
  }
}

/** Removes all that this host has of a machine, and what folders are empty then, but not while it runs. Changes that are in no storage are lost only when forced. */
export async function removeVm(request: StepRequest & { step: 'remove' }): Promise<void> {
  const host = new HostFolder(request.folder)
  const folder = host.vm(request.cluster, request.vm)
  const fail = (text: string): SkilfishError => new SkilfishError('VM_STATE', `cannot remove ${request.vm}: ${text}`)
  if ((await findQemu(folder)) !== undefined) throw fail('it runs; shut it down first')
  const journal = await readJson<VmJournal>(folder.journal)
  if (journal !== undefined && journal.committedAs === undefined && !request.isForced) {
    throw fail(`${folder.overlay} has changes that are not committed; commit first, or destroy with --discard`)
  }
  await rm(folder.path, { recursive: true, force: true })
  await removeIfEmpty(dirname(folder.path))
  await removeIfEmpty(host.vms)
}
