import { createHash } from 'node:crypto'
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  type Stats,
} from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { cached } from './cache-folder.ts'
import { missingPackages, runCommand, type Packages } from './command.ts'

/** Where files are taken from: programs, libraries, and the texts, icons and tables beside them. */
const ROOTS = ['/usr/bin', '/usr/sbin', '/usr/lib', '/usr/share']

/** A file that would make up more of the image than this is left out: the mix is what matters, not one machine's giant. */
const LARGEST_SHARE = 1 / 16

/** Of the file system that is made, whatever its size. */
const BLOCK_BYTES = 4096

/** Part of the cached file's name: raise it with each change of how the image is made. */
const RECIPE = 1

/** What makes the image. */
export const ROOTFS_PACKAGES: Packages = { e2fsprogs: ['mke2fs'] }

export interface RootfsImageOptions {
  /** About how much data the file system holds, in bytes; 500 MiB unless given. */
  readonly contentBytes?: number
  /** Size of the image in bytes, a multiple of 1 MiB; 4 GiB unless given. */
  readonly sizeBytes?: number
}

/**
 * The path of a sparse ext4 image that holds a sample of this machine's own system files, made by the first call (some seconds) and
 * kept in the temporary folder. Callers share it: do not write to it.
 *
 * The sample is the same as long as the machine's files are; it differs between machines, so figures compare within one. Where the
 * machine has too few files, they come more than once.
 *
 * @throws Error when mke2fs is missing or fails, or the temporary folder cannot be used.
 */
export function rootfsImage(options: RootfsImageOptions = {}): string {
  const { contentBytes = 500 * 1024 ** 2, sizeBytes = 4 * 1024 ** 3 } = options
  return cached(`rootfs-${RECIPE}-${contentBytes}-in-${sizeBytes}.ext4`, (work) => {
    const missing = missingPackages(ROOTFS_PACKAGES)
    if (missing.length > 0) throw new Error(`The root filesystem image needs ${missing.join('; ')}`)
    const tree = join(work, 'tree')
    mkdirSync(tree)
    fillTree(tree, contentBytes)
    const image = join(work, 'image')
    // A journal of written zeros would pass for data.
    const extended = 'root_owner=0:0,lazy_journal_init=1'
    const fixed = ['-U', '5b1f15e5-0000-4000-8000-000000000000', '-L', 'rootfs', '-E', extended]
    runCommand('mke2fs', [
      '-q',
      '-t',
      'ext4',
      '-b',
      String(BLOCK_BYTES),
      ...fixed,
      '-d',
      tree,
      image,
      `${sizeBytes / 1024 ** 2}M`,
    ])
    return image
  })
}

interface Candidate {
  readonly path: string
  readonly facts: Stats
}

function fillTree(tree: string, contentBytes: number): void {
  const candidates = ROOTS.flatMap(listFiles)
    .filter(({ facts }) => facts.size <= contentBytes * LARGEST_SHARE)
    .map((candidate) => ({ ...candidate, rank: createHash('sha1').update(candidate.path).digest('hex') }))
    .sort((one, other) => (one.rank < other.rank ? -1 : 1))
  for (let round = 0, left = contentBytes; left > 0; round++) {
    const before = left
    // Copies of one file share a name within a round only.
    const copies = new Map<string, string>()
    for (const { path, facts } of candidates) {
      left -= copyInto(join(tree, round === 0 ? '' : `copy${round}`, path), path, facts, copies)
      if (left <= 0) break
    }
    if (left === before) throw new Error(`Nothing can be read under ${ROOTS.join(', ')}`)
  }
}

/** All files and symbolic links below a folder, without crossing into linked folders or those that this user may not list. */
function listFiles(folder: string): Candidate[] {
  // On systems with merged /usr some of these folders are links to others.
  if (!existsSync(folder) || lstatSync(folder).isSymbolicLink() || !canList(folder)) return []
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return listFiles(path)
    return entry.isFile() || entry.isSymbolicLink() ? [{ path, facts: lstatSync(path) }] : []
  })
}

function canList(folder: string): boolean {
  try {
    accessSync(folder, constants.R_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Copies one file or link, and keeps hard links what they are.
 * @param copies device and inode of what was copied → its copy
 * @returns bytes of data that the file system gains
 */
function copyInto(target: string, path: string, facts: Stats, copies: Map<string, string>): number {
  const folderBytes = makeFolders(dirname(target))
  if (facts.isSymbolicLink()) {
    symlinkSync(readlinkSync(path), target)
    return folderBytes
  }
  const identity = `${facts.dev}:${facts.ino}`
  const copied = copies.get(identity)
  if (copied !== undefined) {
    linkSync(copied, target)
    return folderBytes
  }
  try {
    copyFileSync(path, target)
  } catch {
    // Not for this user to read, or gone by now.
    return folderBytes
  }
  copies.set(identity, target)
  return folderBytes + Math.ceil(facts.size / BLOCK_BYTES) * BLOCK_BYTES
}

/** Makes a folder and those that it is in; returns the bytes of data that the file system gains, a block for each new one. */
function makeFolders(folder: string): number {
  const first = mkdirSync(folder, { recursive: true })
  return first === undefined ? 0 : (folder.split(sep).length - first.split(sep).length + 1) * BLOCK_BYTES
}
