import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * The path of a file or folder that is made once, by the first call, and kept in the temporary folder.
 *
 * @param name what it is called there; part of it must change with each change of how it is made
 * @param make makes it in an empty folder, which is removed after that, and returns its path there
 */
export function cached(name: string, make: (workFolder: string) => string): string {
  const folder = cacheFolder()
  const path = join(folder, name)
  if (existsSync(path)) return path
  const work = mkdtempSync(join(folder, 'making-'))
  try {
    const made = make(work)
    // Another process may have been as fast. A folder does not replace one that is not empty.
    if (!existsSync(path)) renameSync(made, path)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return path
}

/** A folder that is this user's alone, as anybody may make names in the temporary folder. */
function cacheFolder(): string {
  const uid = process.getuid?.() ?? 0
  const folder = join(tmpdir(), `skilfish-images-${uid}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const facts = lstatSync(folder)
  if (!facts.isDirectory() || facts.uid !== uid) throw new Error(`${folder} must be a folder of user ${uid}; remove it`)
  chmodSync(folder, 0o700)
  return folder
}
