import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errnoName } from './storage-error.ts'

/**
 * Makes a folder, and those above it that are not there. Not by the `recursive` of Node.js, which tries for ever where the system answers
 * that there is no such folder to whoever wants to make one, as it does below /proc.
 * @param mode of those that are made; by default only this user gets into them
 * @throws what the system refuses with
 */
export async function makeFolder(path: string, mode: number = 0o700): Promise<void> {
  try {
    await makeOne(path, mode)
  } catch (error) {
    if (errnoName(error) !== 'ENOENT' || dirname(path) === path) throw error
    await makeFolder(dirname(path), mode)
    await makeOne(path, mode)
  }
}

async function makeOne(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, mode)
  } catch (error) {
    const isThere = errnoName(error) === 'EEXIST' && (await stat(path)).isDirectory()
    if (!isThere) throw error
  }
}
