import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * The path of a file or folder that is made once, by the first call, and kept in the temporary folder. Other processes that want it
 * meanwhile wait for that.
 *
 * @param name what it is called there; part of it must change with each change of how it is made
 * @param make makes it in an empty folder, which is removed after that, and returns its path there
 */
export function cached(name: string, make: (workFolder: string) => string): string {
  const folder = cacheFolder()
  const path = join(folder, name)
  if (existsSync(path)) return path
  withLock(`${path}.lock`, () => {
    if (existsSync(path)) return
    const work = mkdtempSync(join(folder, 'making-'))
    try {
      renameSync(make(work), path)
    } finally {
      rmSync(work, { recursive: true, force: true })
    }
  })
  return path
}

/** Does what one process at a time may do. The lock goes with the open file: however this process ends, nobody waits for it. */
function withLock(path: string, work: () => void): void {
  const file = openSync(path, 'w')
  try {
    // flock(1) locks the open file, which it shares with this process, and ends.
    const { status } = spawnSync('flock', ['3'], { stdio: ['ignore', 'inherit', 'inherit', file] })
    if (status !== 0) throw new Error(`Cannot lock ${path}: flock of the Debian package util-linux failed`)
    work()
  } finally {
    closeSync(file)
  }
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
