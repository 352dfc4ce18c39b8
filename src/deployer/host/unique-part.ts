import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { SkilfishError } from '../../errors.ts'
import { makeFolder } from '../../io/index.ts'
import type { BlockNodeOptions } from '../../qmp/index.ts'
import { forEach, pieces, totalBytes } from '../extents.ts'
import type { StepHooks, StepRequest, StepResults } from '../host-protocol.ts'
import { findBase } from './base-cache.ts'
import { copyFault, keepCopy, removeCopy } from './copy-record.ts'
import { localNode, remoteNodes, NODE } from './block-graph.ts'
import { withTimeouts } from './ceph-conf.ts'
import { HostFolder, remove, type VmFolder } from './host-folder.ts'
import { ByteRate } from './byte-rate.ts'
import { StorageDaemon } from './storage-daemon.ts'
import { runTool } from './tool.ts'

type FetchRequest = StepRequest & { step: 'fetch-unique' }

/** Bytes copied at once, and copies under way at a time. */
const PIECE_BYTES = 1024 * 1024
const DEPTH = 8

const BASE = 'base'

/** Copies what a machine's image has over the template into a file above the host's template. One that is complete and untouched is left. */
export async function fetchUnique(
  request: FetchRequest,
  { signal, onProgress }: StepHooks,
): Promise<StepResults['fetch-unique']> {
  const host = new HostFolder(request.folder)
  const folder = host.vm(request.cluster, request.vm)
  const path = folder.uniquePath(request.generation)
  await makeFolder(folder.path)
  if ((await copyFault(path, request.image)) === undefined) return { copiedBytes: 0 }
  const base = await findBase(host, request.base)
  if (!('path' in base)) throw new SkilfishError('BASE_UNFIT', `cannot fetch for ${request.vm}: ${base.reason}`)
  const partial = `${path}.part`
  await remove(partial)
  const create = ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', base.path, partial]
  await runTool('QEMU_FAILED', 'qemu-img', create)
  const wholeBytes = totalBytes(request.ranges)
  const rate = new ByteRate(request.bytesPerSec)
  const daemon = await StorageDaemon.start(folder.path)
  try {
    for (const node of remoteNodes(await withTimeouts(request.remote, folder))) await daemon.add(node)
    await daemon.add({
      ...localNode(base.path, undefined),
      'node-name': BASE,
    })
    const file: BlockNodeOptions = { driver: 'file', filename: partial }
    await daemon.add({ driver: 'qcow2', 'node-name': NODE.local, file, backing: BASE })
    const source = await daemon.open(NODE.remote, false)
    const target = await daemon.open(NODE.local, true)
    await forEach(pieces(request.ranges, PIECE_BYTES), DEPTH, async ({ offset, lengthBytes }) => {
      await rate.take(lengthBytes, signal)
      await target.write(offset, await source.read(offset, lengthBytes))
      rate.done(lengthBytes)
      onProgress((100 * rate.totalBytes) / wholeBytes, rate.bitsPerSec)
    })
    await target.flush()
    await Promise.all([source.close(), target.close()])
  } finally {
    await daemon.stop()
  }
  await keepCopy(partial, path, { identity: request.image })
  await removeOthers(folder, path)
  return { copiedBytes: wholeBytes }
}

/** Those of other generations are of no use to an overlay over this one. */
async function removeOthers(folder: VmFolder, path: string): Promise<void> {
  const names = (await readdir(folder.path)).filter((name) => /^unique-\d+\.qcow2$/.test(name))
  for (const name of names.filter((one) => one !== basename(path))) await removeCopy(join(folder.path, name))
}
