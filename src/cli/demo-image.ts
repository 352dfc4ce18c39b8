import { execFile } from 'node:child_process'
import type { Dirent } from 'node:fs'
import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { PAGE_BYTES } from '../sparse/index.ts'

/** Size of the demo's image, bytes. */
export const DEMO_IMAGE_BYTES: number = 1024 * 1024 * 1024

/** Files that go into the image, bytes at most: the demo shall end within 30 s on a small machine. */
const CONTENT_BYTES = 120 * 1024 * 1024

/** Larger files are passed over, so that many kinds come in, and smaller ones, since thousands of them take their time. */
const FILE_BYTES = { least: 8 * 1024, most: 8 * 1024 * 1024 } as const

/** With less than this in the usual places, bytes, the binary of Node.js itself goes in too. */
const POOR_CONTENT_BYTES = 60 * 1024 * 1024

/** What every Unix system has: programs, libraries, texts. */
const PLACES = ['/usr/share', '/usr/lib', '/usr/bin', '/usr/include']

/** Names that a script for debugfs can hold as they are. */
const PLAIN_PATH = /^[\w.+@/-]+$/

/**
 * Makes a sparse image of {@link DEMO_IMAGE_BYTES} that holds files of this machine: an ext4 file system where `mke2fs` and
 * `debugfs` are there, else the files one after the other with holes between them.
 * @returns what the image is, in a few words
 */
export async function makeDemoImage(path: string, signal: AbortSignal): Promise<string> {
  const files = await gatherFiles()
  try {
    await makeFileSystem(path, files, signal)
    return `an ext4 file system with ${files.length} files of this machine`
  } catch {
    signal.throwIfAborted()
    await layOut(path, files)
    return `${files.length} files of this machine with holes between them`
  }
}

/** Paths of readable regular files, each place giving an equal share of the content. */
async function gatherFiles(): Promise<string[]> {
  const files: string[] = []
  let total = 0
  for (const place of PLACES) {
    let room = CONTENT_BYTES / PLACES.length
    for await (const [path, bytes] of walk(place)) {
      if (bytes > room) break
      files.push(path)
      room -= bytes
      total += bytes
    }
  }
  return total < POOR_CONTENT_BYTES ? [...files, process.execPath] : files
}

/** All files under a folder and their sizes, without following links; what may not be read is passed over. */
async function* walk(folder: string): AsyncGenerator<readonly [path: string, bytes: number], void, void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((): Dirent[] => [])
  for (const entry of entries) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* walk(path)
    if (!entry.isFile()) continue
    const { size, mode } = await stat(path)
    const isReadable = (mode & 0o004) !== 0 && PLAIN_PATH.test(path)
    if (isReadable && size >= FILE_BYTES.least && size <= FILE_BYTES.most) yield [path, size]
  }
}

/** debugfs writes into the image by itself: no root, no mount, no copies on the way. */
async function makeFileSystem(path: string, files: readonly string[], signal: AbortSignal): Promise<void> {
  const folders = new Set(files.flatMap((file) => parentFolders(file)))
  const commands = [...folders].map((folder) => `mkdir ${folder}`).concat(files.map((file) => `write ${file} ${file}`))
  const script = `${path}.debugfs`
  await writeFile(script, `${commands.join('\n')}\n`)
  await runSystemCommand('mke2fs', ['-q', '-F', '-t', 'ext4', path, `${DEMO_IMAGE_BYTES / 1024}k`], signal)
  await runSystemCommand('debugfs', ['-w', '-f', script, path], signal)
}

/** System commands are not on every user's path. */
async function runSystemCommand(command: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` }
  await promisify(execFile)(command, args, { env, signal, maxBuffer: 16 * 1024 * 1024 })
}

/** `/usr`, `/usr/share` … of a file, outermost first. */
function parentFolders(file: string): string[] {
  const parent = dirname(file)
  return parent === '/' ? [] : [...parentFolders(parent), parent]
}

/** One file after the other, with holes of one size between them: about what a file system looks like from below. */
async function layOut(path: string, files: readonly string[]): Promise<void> {
  const image = await open(path, 'w')
  try {
    await image.truncate(DEMO_IMAGE_BYTES)
    const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size))
    const contentBytes = sizes.reduce((sum, bytes) => sum + wholePages(bytes), 0)
    const holeBytes = wholePages((DEMO_IMAGE_BYTES - contentBytes) / (files.length + 1) - PAGE_BYTES)
    let offset = 0
    for (const file of files) {
      const bytes = await readFile(file)
      await image.write(bytes, 0, bytes.length, offset)
      offset += wholePages(bytes.length) + holeBytes
    }
  } finally {
    await image.close()
  }
}

const wholePages = (bytes: number): number => Math.max(0, Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES)
