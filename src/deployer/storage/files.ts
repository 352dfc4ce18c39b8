import { rename as renameFile, rm as removeFile } from 'node:fs/promises'
import { SkilfishError } from '../../errors.ts'
import { systemReason } from '../../io/index.ts'
import { readJson as readJsonFile, writeJson as writeJsonFile } from '../host/host-folder.ts'

// Files of a storage, as those of Node.js and of hosts; what the system refuses is told as STORAGE_FAILED, with the path.

const CODE = 'STORAGE_FAILED'

/**
 * Waits for something that is done with files.
 * @param action completes "cannot …" and names the path
 * @throws SkilfishError STORAGE_FAILED for what the system refuses
 */
export async function told<Result>(action: string, work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (cause) {
    if (cause instanceof SkilfishError) throw cause
    throw new SkilfishError(CODE, `cannot ${action}: ${systemReason(cause)}`, { cause })
  }
}

export const rename = (from: string, to: string): Promise<void> => told(`rename ${from} to ${to}`, renameFile(from, to))

export const rm = (path: string, options: { readonly force: boolean }): Promise<void> =>
  told(`remove ${path}`, removeFile(path, options))

export const readJson = <Value>(path: string): Promise<Value | undefined> => readJsonFile<Value>(path, CODE)

export const writeJson = (path: string, value: object): Promise<void> => writeJsonFile(path, value, CODE)
