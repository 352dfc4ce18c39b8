import { open, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncFolder } from '../../io/index.ts'
import { readJson, remove, writeJson } from './host-folder.ts'

/** What a file of a local copy was when it was complete. Any write to it changes one of these, the time of change at the least. */
export interface CopyRecord {
  /** Of the template that it is, or of the machine's image that it is a part of. */
  readonly identity: string
  /** Of a template, as its sender told it. */
  readonly rootDigest?: string
  readonly sizeBytes: number
  readonly inode: string
  readonly changedNs: string
}

/**
 * Makes a complete file read-only and gives it its name, and then keeps what it is: without that it counts as never complete. All of it
 * is on the disk when this resolves.
 */
export async function keepCopy(
  partial: string,
  path: string,
  facts: Pick<CopyRecord, 'identity' | 'rootDigest'>,
): Promise<void> {
  await remove(recordPath(path))
  const file = await open(partial, 'r')
  try {
    await file.sync()
    // Not before: what is interrupted goes on with the file, and must be able to write to it.
    await file.chmod(0o444)
  } finally {
    await file.close()
  }
  await rename(partial, path)
  await syncFolder(dirname(path))
  const { size, ino, ctimeNs } = await stat(path, { bigint: true })
  const record = { ...facts, sizeBytes: Number(size), inode: String(ino), changedNs: String(ctimeNs) }
  await writeJson(recordPath(path), record satisfies CopyRecord)
}

/** @returns why a file is not what it was when it was complete; undefined when it is */
export async function copyFault(path: string, identity: string): Promise<string | undefined> {
  const facts = await stat(path, { bigint: true }).catch(() => undefined)
  if (facts === undefined) return `${path} is not there`
  const record = await readJson<CopyRecord>(recordPath(path))
  if (record === undefined) return `${path} was never complete`
  if (record.identity !== identity) return `${path} is of another image`
  if (facts.size !== BigInt(record.sizeBytes)) return `${path} has ${facts.size} bytes, and had ${record.sizeBytes}`
  if (String(facts.ino) === record.inode && String(facts.ctimeNs) === record.changedNs) return undefined
  return `${path} was changed after it was received`
}

/** Removes a copy that may not be there, and what was kept of it. */
export async function removeCopy(path: string): Promise<void> {
  await remove(recordPath(path))
  await remove(path)
}

const recordPath = (path: string): string => `${path.replace(/\.[^./]*$/, '')}.json`
