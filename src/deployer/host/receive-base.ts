import { chmod, rename, stat } from 'node:fs/promises'
import { SkilfishError } from '../../errors.ts'
import { FINGERPRINT_SUFFIX, makeFolder, syncFolder } from '../../io/index.ts'
import { receive } from '../../receiver/index.ts'
import type { BaseName, StepHooks, TransferPlace } from '../host-protocol.ts'
import { recordPath, type BaseRecord } from './base-cache.ts'
import { remove, writeJson, type HostFolder } from './host-folder.ts'

/** How long to wait for the sender, milliseconds. */
const START_TIMEOUT_MS = 150_000

/**
 * Receives a template, to a name that says that it is not complete; then makes it read-only and gives it its name.
 * An interrupted one goes on where it was.
 */
export async function receiveBase(
  folder: HostFolder,
  base: BaseName,
  place: TransferPlace,
  hooks: StepHooks,
): Promise<string> {
  await makeFolder(folder.bases)
  const path = folder.basePath(base.key)
  const partial = `${path}.part`
  await remove(recordPath(path))
  const { rootDigest, imageBytes } = await receive({
    target: partial,
    imageId: base.identity,
    resume: true,
    startTimeoutMs: START_TIMEOUT_MS,
    ...place,
    signal: hooks.signal,
    onProgress: ({ percent, rateBitsPerSec }) => hooks.onProgress(percent ?? 0, rateBitsPerSec),
  }).finished
  if (imageBytes !== base.sizeBytes) {
    const text = `it has ${imageBytes} bytes; the template has ${base.sizeBytes}`
    throw new SkilfishError('BASE_UNFIT', `cannot use what was received as ${path}: ${text}`)
  }
  await chmod(partial, 0o444)
  await rename(partial, path)
  // The record below says what that fingerprint would.
  await remove(`${partial}${FINGERPRINT_SUFFIX}`)
  await syncFolder(folder.bases)
  const { ino, ctimeNs } = await stat(path, { bigint: true })
  const record: BaseRecord = {
    ...{ identity: base.identity, rootDigest, sizeBytes: base.sizeBytes },
    ...{ inode: String(ino), changedNs: String(ctimeNs) },
  }
  await writeJson(recordPath(path), record)
  return path
}
