import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { SkilfishError } from '../errors.ts'
import { monotonicUs } from './clock.ts'
import { errnoName, targetError } from './storage-error.ts'
import { writeFully } from './write-fully.ts'

const PIECE_BYTES = 1024 * 1024
const PIECE_COUNT = 256

/** So long is written at most, microseconds: a slow disk has shown itself by then. Ours. */
const LONGEST_US = 5_000_000

/**
 * How fast a new file in a folder is written up to stable storage, bytes per second. Takes up to 256 MiB, which are removed again.
 * @throws SkilfishError TARGET_NOT_FOUND, TARGET_DENIED, TARGET_FULL, TARGET_FAILED
 */
export async function measureDisk(folder: string): Promise<number> {
  const path = join(folder, `.skilfish-probe-${randomBytes(6).toString('hex')}`)
  try {
    const handle = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    try {
      // Without a name nothing is left of it, however the process ends.
      await unlink(path)
      // Random, for the sake of disks that compress.
      const piece = randomBytes(PIECE_BYTES)
      const beganUs = monotonicUs()
      let count = 0
      while (count < PIECE_COUNT && monotonicUs() - beganUs < LONGEST_US) {
        await writeFully(handle, count++ * PIECE_BYTES, piece)
      }
      await handle.datasync()
      return Math.round((count * PIECE_BYTES * 1e6) / Math.max(1, monotonicUs() - beganUs))
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR'].includes(errnoName(error) ?? '')) throw targetError(`write to ${folder}`, error)
    const text = `cannot measure the disk of ${folder}: there is no such folder; name one that exists`
    throw new SkilfishError('TARGET_NOT_FOUND', text, { cause: error })
  }
}
