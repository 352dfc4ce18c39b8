import { constants } from 'node:fs'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errnoName } from './storage-error.ts'
import { syncFolder } from './sync-folder.ts'

/** Follows the name of a finished file in that of the file that keeps its fingerprint. */
export const FINGERPRINT_SUFFIX = '.skilfish-fingerprint'

/** More is none of ours. */
const MAX_BYTES = 4096

/**
 * Keeps a line of text in a small file, in place of what was there: all of it or nothing, whenever the machine dies. Errors of the
 * system come as they are.
 */
export async function keepText(path: string, text: string): Promise<void> {
  const draft = `${path}.new`
  const handle = await open(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o644)
  try {
    await handle.writeFile(`${text}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(draft, path)
  await syncFolder(dirname(path))
}

/** @returns undefined when there is no such file. Errors of the system come as they are. */
export async function readKeptText(path: string): Promise<string | undefined> {
  try {
    const bytes = await readFile(path)
    return bytes.subarray(0, MAX_BYTES).toString('utf8').trim()
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Takes away what {@link keepText} has made, if it is there. Errors of the system come as they are. */
export async function dropText(path: string): Promise<void> {
  await rm(path, { force: true })
}
