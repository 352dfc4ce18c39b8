import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bootFiles, makeBootFiles, type BootFiles } from './boot-files.ts'
import { cached } from './cache-folder.ts'
import { missingPackages, runCommand } from './command.ts'
import { parseGuestResult, type GuestResult } from './guest-console.ts'

const sourcePath = (name: string): string => fileURLToPath(new URL(`../guest/${name}`, import.meta.url))

/** The disk, the power button, and the way to hear of that. */
const MODULES = ['virtio_pci', 'virtio_blk', 'button', 'evdev']

/** Of one block of the verifier. */
const BLOCK_BYTES = 4096

/** Part of the cached folder's name: raise it with each change of how the files are made. */
const RECIPE = 2

/**
 * The tiny guest that checks its disk: Debian's kernel with `test/guest` as its first programs. Made by the first call (some seconds and
 * a download of 30 MB) and kept in the temporary folder.
 *
 * It serves `/dev/vda` (virtio-blk) on the serial console `ttyS0`, see {@link GuestConsole}. Words such as `guest.command=run,0` of the
 * kernel's command line are commands too. One processor and 128 MiB are enough.
 *
 * @throws Error that names missing packages, or tells what failed
 */
export function guestFiles(): BootFiles {
  return bootFiles(guestFolder())
}

/**
 * Writes a raw image in which every block is of generation `tag`. Of generation 0 the last of every four MiB is a hole.
 * @param sizeBytes a multiple of 4 KiB
 */
export function writeGuestDisk(path: string, sizeBytes: number, tag = 0): void {
  if (sizeBytes % BLOCK_BYTES !== 0) throw new RangeError(`sizeBytes must be a multiple of 4096, got ${sizeBytes}`)
  runCommand(verifier(), ['make', path, String(sizeBytes / BLOCK_BYTES), String(tag)])
}

/**
 * Checks every block of a raw image on this machine, as the guest's `verify` would. The generations are taken from the blocks, so old
 * data passes: compare the digest.
 */
export function verifyGuestDisk(path: string): GuestResult {
  return parseGuestResult(runCommand(verifier(), ['check', path]))
}

const verifier = (): string => join(guestFolder(), 'verifier')

function guestFolder(): string {
  const init = readFileSync(sourcePath('init'), 'utf8')
  const hash = createHash('sha256')
    .update(init)
    .update(readFileSync(sourcePath('verifier.c')))
  return cached(`guest-${RECIPE}-${hash.digest('hex').slice(0, 16)}`, (work) => {
    const missing = missingPackages({ gcc: ['gcc'] })
    if (missing.length > 0) throw new Error(`The test guest needs ${missing.join('; ')}`)
    const made = join(work, 'made')
    mkdirSync(made)
    const program = join(made, 'verifier')
    runCommand('gcc', ['-O2', '-static', '-pthread', '-Wall', '-Werror', '-o', program, sourcePath('verifier.c')])
    makeBootFiles(made, work, { init, modules: MODULES, programs: [program] })
    return made
  })
}
