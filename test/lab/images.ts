import { createCipheriv, createHash, type Cipher } from 'node:crypto'
import { statSync } from 'node:fs'
import { open, truncate, writeFile, type FileHandle } from 'node:fs/promises'
import { constants } from 'node:os'
import { loadLibc } from '../../src/io/index.ts'
import { seededRandom } from '../../src/random.ts'

/** How much is read, written or compared at once. */
const CHUNK_BYTES = 4 * 1024 * 1024

/** `whence` of lseek(2) on Linux. */
const SEEK_DATA = 3
const SEEK_HOLE = 4

/** Every so many islands, one is of zeros that were written: data to the file system, nothing to send. */
const ZERO_ISLAND_EVERY = 4

/** Writes a file of incompressible bytes, the same for the same seed on every machine. About 1 s a GiB. */
export async function writeRandomImage(path: string, sizeBytes: number, seed: number): Promise<void> {
  const random = new RandomBytes(seed)
  await withFile(path, 'w', (file) => random.write(file, 0, sizeBytes))
}

/** Writes a file that is one hole. */
export async function writeEmptyImage(path: string, sizeBytes: number): Promise<void> {
  await writeFile(path, '')
  await truncate(path, sizeBytes)
}

export interface IslandPattern {
  readonly sizeBytes: number
  /** How many runs of data there are, one somewhere in each of as many equal parts of the image. */
  readonly islandCount: number
  /** Length of the longest run in bytes; each has a random length from 1 to this, cut off where its part ends. */
  readonly islandBytes: number
  /** The same seed gives the same bytes at the same places. */
  readonly seed: number
}

/** Writes a sparse file: runs of incompressible bytes at unaligned places in holes, every fourth run of zeros instead. */
export async function writeIslandImage(path: string, pattern: IslandPattern): Promise<void> {
  const { sizeBytes, islandCount, islandBytes, seed } = pattern
  const random = seededRandom(seed)
  const bytes = new RandomBytes(seed)
  await writeEmptyImage(path, sizeBytes)
  await withFile(path, 'r+', async (file) => {
    for (let island = 0; island < islandCount; island++) {
      const partEnd = Math.floor(((island + 1) * sizeBytes) / islandCount)
      const start = Math.floor((island + random()) * (sizeBytes / islandCount))
      const end = Math.min(partEnd, start + 1 + Math.floor(random() * islandBytes))
      if (island % ZERO_ISLAND_EVERY === ZERO_ISLAND_EVERY - 1) await writeZeros(file, start, end)
      else await bytes.write(file, start, end)
    }
  })
}

/**
 * Where two files first differ.
 *
 * Where both have a hole nothing is read, if the system can tell (`koffi` on Linux), so sparse files compare in the time of their data.
 * @returns the offset in bytes of the first difference; the shorter one's length when it is the beginning of the other; undefined
 * when they are identical.
 */
export async function firstDifference(path: string, otherPath: string): Promise<number | undefined> {
  const libc = loadLibc()
  return withFile(path, 'r', (file) =>
    withFile(otherPath, 'r', async (other) => {
      const sizes = [(await file.stat()).size, (await other.stat()).size] as const
      const commonBytes = Math.min(...sizes)
      const buffers = [Buffer.alloc(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)] as const
      /** The first byte of data at or after `offset`. */
      const seekData = (fd: number, offset: number): number => {
        const found = libc?.lseek(fd, offset, SEEK_DATA) ?? offset
        if (found === -constants.errno.ENXIO) return commonBytes
        return found < 0 ? offset : found
      }
      /** The first byte of a hole at or after `offset`. */
      const seekHole = (fd: number, offset: number): number => {
        const found = libc?.lseek(fd, offset, SEEK_HOLE) ?? commonBytes
        return found < 0 ? commonBytes : found
      }
      for (let offset = 0; offset < commonBytes;) {
        offset = Math.min(seekData(file.fd, offset), seekData(other.fd, offset))
        const end = Math.min(commonBytes, Math.max(seekHole(file.fd, offset), seekHole(other.fd, offset)))
        const [mine, its] = buffers.map((buffer) => buffer.subarray(0, Math.max(0, end - offset)))
        await Promise.all([readFully(file, mine!, offset), readFully(other, its!, offset)])
        if (!mine!.equals(its!)) return offset + mine!.findIndex((byte, index) => byte !== its![index])
        offset += mine!.length
      }
      return sizes[0] === sizes[1] ? undefined : commonBytes
    }),
  )
}

/** @throws Error with the offset of the first difference, unless both files are identical. */
export async function requireIdentical(path: string, copyPath: string): Promise<void> {
  const offset = await firstDifference(path, copyPath)
  if (offset !== undefined) throw new Error(`${copyPath} differs from ${path} from byte ${offset} on`)
}

/** Bytes of disk (or memory, on tmpfs) that a file takes. */
export function allocatedBytes(path: string): number {
  // The unit of st_blocks is 512 bytes whatever the file system's own is. Source: stat(2).
  return statSync(path).blocks * 512
}

/** An endless run of bytes: the key stream of AES-128 in counter mode, which is the fastest generator that Node.js has. */
class RandomBytes {
  readonly #cipher: Cipher
  readonly #zeros = Buffer.alloc(CHUNK_BYTES)

  constructor(seed: number) {
    const key = createHash('sha256').update(`image ${seed}`).digest().subarray(0, 16)
    this.#cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16))
  }

  /** Writes the next bytes of the run at `start` up to `end`. */
  async write(file: FileHandle, start: number, end: number): Promise<void> {
    for (let offset = start; offset < end;) {
      const bytes = this.#cipher.update(this.#zeros.subarray(0, Math.min(CHUNK_BYTES, end - offset)))
      offset += (await file.write(bytes, 0, bytes.length, offset)).bytesWritten
    }
  }
}

async function writeZeros(file: FileHandle, start: number, end: number): Promise<void> {
  await file.write(Buffer.alloc(end - start), 0, end - start, start)
}

async function readFully(file: FileHandle, into: Buffer, offset: number): Promise<void> {
  for (let filled = 0; filled < into.length;) {
    const { bytesRead } = await file.read(into, filled, into.length - filled, offset + filled)
    if (bytesRead === 0) throw new Error(`A file ends at ${offset + filled} bytes while it is compared`)
    filled += bytesRead
  }
}

async function withFile<Result>(
  path: string,
  flags: string,
  use: (file: FileHandle) => Promise<Result>,
): Promise<Result> {
  const file = await open(path, flags)
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}
