import { chmod } from 'node:fs/promises'
import { SkilfishError } from '../../errors.ts'
import { FINGERPRINT_SUFFIX, makeFolder } from '../../io/index.ts'
import { receive } from '../../receiver/index.ts'
import type { StepHooks, StepRequest, StepResults } from '../host-protocol.ts'
import { keepCopy } from './copy-record.ts'
import { HostFolder, remove } from './host-folder.ts'

/** How long to wait for the sender, milliseconds. */
const START_TIMEOUT_MS = 150_000

/**
 * Receives a template, to a name that says that it is not complete; then makes it read-only and gives it its name.
 * An interrupted one goes on where it was.
 */
export async function receiveBase(
  request: StepRequest & { step: 'receive' },
  hooks: StepHooks,
): Promise<StepResults['receive']> {
  const { base, place, freshKey } = request
  const folder = new HostFolder(request.folder)
  await makeFolder(folder.bases)
  const path = folder.basePath(base.key)
  const partial = `${path}.part`
  // One that was complete but had not got its name yet is read-only.
  await chmod(partial, 0o600).catch(() => undefined)
  const { rootDigest, imageBytes } = await receive({
    target: partial,
    imageId: base.identity,
    resume: true,
    startTimeoutMs: START_TIMEOUT_MS,
    ...place,
    ...(freshKey === undefined ? {} : { key: Buffer.from(freshKey, 'hex') }),
    signal: hooks.signal,
    onProgress: ({ percent, rateBitsPerSec }) => hooks.onProgress(percent ?? 0, rateBitsPerSec),
  }).finished
  if (imageBytes !== base.sizeBytes) {
    const text = `it has ${imageBytes} bytes; the template has ${base.sizeBytes}`
    throw new SkilfishError('BASE_UNFIT', `cannot use what was received as ${path}: ${text}`)
  }
  await keepCopy(partial, path, { identity: base.identity, rootDigest })
  // The record says what that fingerprint would.
  await remove(`${partial}${FINGERPRINT_SUFFIX}`)
  return { path }
}
