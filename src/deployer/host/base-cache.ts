import { chmod, readdir, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SkilfishError } from '../../errors.ts'
import { FINGERPRINT_SUFFIX, JOURNAL_SUFFIX, makeFolder, syncFolder } from '../../io/index.ts'
import { receive } from '../../receiver/index.ts'
import { readJson, remove, removeIfEmpty, writeJson, type HostFolder } from './host-folder.ts'
import type { BaseName, StepHooks, TransferPlace } from '../host-protocol.ts'

/** How long to wait for the sender, milliseconds. */
const START_TIMEOUT_MS = 150_000

/** What a base was when it was complete. Any write to the file changes one of these, the time of change at the least. */
interface BaseRecord {
  readonly identity: string
  readonly rootDigest: string
  readonly sizeBytes: number
  readonly inode: string
  readonly changedNs: string
}

/** Looks for a template on this host. @returns its path when it is complete and untouched; else why not */
export async function findBase(
  folder: HostFolder,
  { key, identity, sizeBytes }: BaseName,
): Promise<{ readonly path: string } | { readonly reason: string }> {
  const path = folder.basePath(key)
  const facts = await stat(path, { bigint: true }).catch(() => undefined)
  if (facts === undefined) return { reason: `${path} is not there` }
  const record = await readJson<BaseRecord>(recordPath(path))
  if (record === undefined) return { reason: `${path} was never complete` }
  if (record.identity !== identity) return { reason: `${path} is of another template` }
  if (facts.size !== BigInt(sizeBytes)) return { reason: `${path} has ${facts.size} bytes, the template ${sizeBytes}` }
  if (String(facts.ino) !== record.inode || String(facts.ctimeNs) !== record.changedNs) {
    return { reason: `${path} was changed after it was received` }
  }
  return { path }
}

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

/** Removes templates that are not in use, the least recently received first, until what is left takes at most `keepBytes`. */
export async function evictBases(
  folder: HostFolder,
  keepBytes: number,
  usedKeys: readonly string[],
): Promise<readonly string[]> {
  const names = await readdir(folder.bases).catch((): string[] => [])
  const found = await Promise.all(
    names
      .filter((name) => /\.(raw|part)$/.test(name))
      .map(async (name) => {
        const facts = await stat(join(folder.bases, name))
        return { name, storedBytes: facts.blocks * 512, changedMs: facts.ctimeMs }
      }),
  )
  const removed: string[] = []
  let leftBytes = found.reduce((sum, { storedBytes }) => sum + storedBytes, 0)
  for (const { name, storedBytes } of found.sort((a, b) => a.changedMs - b.changedMs)) {
    if (leftBytes <= keepBytes) break
    if (usedKeys.some((key) => name.startsWith(`${key}.`))) continue
    const path = join(folder.bases, name)
    await remove(recordPath(path))
    await remove(path)
    await remove(`${path}${JOURNAL_SUFFIX}`)
    leftBytes -= storedBytes
    removed.push(name)
  }
  await removeIfEmpty(folder.bases)
  return removed
}

const recordPath = (path: string): string => `${path.replace(/\.raw$/, '')}.json`
