import { readdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { JOURNAL_SUFFIX } from '../../io/index.ts'
import { copyFault, removeCopy } from './copy-record.ts'
import { openFiles } from './file-users.ts'
import { remove, removeIfEmpty, type HostFolder } from './host-folder.ts'
import type { BaseName, EvictReport } from '../host-protocol.ts'

/** Looks for a template on this host. @returns its path when it is complete and untouched; else why not */
export async function findBase(
  folder: HostFolder,
  { key, identity }: BaseName,
): Promise<{ readonly path: string } | { readonly reason: string }> {
  const path = folder.basePath(key)
  const reason = await copyFault(path, identity)
  return reason === undefined ? { path } : { reason }
}

/**
 * Removes templates that are not in use, the least recently received first, until what is left takes at most `keepBytes`. In use are those
 * of `usedKeys`, and what any program has open: machines of other clusters on this host, and receivers.
 */
export async function evictBases(
  folder: HostFolder,
  keepBytes: number,
  usedKeys: readonly string[],
): Promise<EvictReport> {
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
  const kept: EvictReport['kept'][number][] = []
  const users = await openFiles()
  const realFolder = await realpath(folder.bases).catch(() => folder.bases)
  let leftBytes = found.reduce((sum, { storedBytes }) => sum + storedBytes, 0)
  for (const { name, storedBytes } of found.sort((a, b) => a.changedMs - b.changedMs)) {
    if (leftBytes <= keepBytes) break
    const usedBy = usedKeys.some((key) => name.startsWith(`${key}.`))
      ? ['machines of this cluster']
      : users.get(join(realFolder, name))
    if (usedBy !== undefined) {
      kept.push({ name, usedBy })
      continue
    }
    const path = join(folder.bases, name)
    await removeCopy(path)
    await remove(`${path}${JOURNAL_SUFFIX}`)
    leftBytes -= storedBytes
    removed.push(name)
  }
  await removeIfEmpty(folder.bases)
  return { removed, kept }
}
