import { createHash } from 'node:crypto'
import { copyFileSync, cpSync, mkdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cached } from './cache-folder.ts'
import { missingPackages, runCommand, type Packages } from './command.ts'
import { unpackDebianKernel, unpackDebianPackage } from './debian-package.ts'
import { parseGuestResult, type GuestResult } from './guest-console.ts'

/** What a machine needs to boot the test guest. The kernel and busybox come from Debian's mirror. */
export interface GuestFiles {
  readonly kernelPath: string
  readonly initrdPath: string
  /** The kernel's command line. Words such as `guest.command=run,0` may be added. */
  readonly append: string
}

/** What makes the guest. */
const PACKAGES: Packages = {
  ...{ gcc: ['gcc'], kmod: ['depmod', 'modprobe'], apt: ['apt-get', 'apt-cache'], dpkg: ['dpkg-deb'] },
}

const SOURCES = ['verifier.c', 'init'].map((name) => fileURLToPath(new URL(`../guest/${name}`, import.meta.url)))

/** The disk, the power button, and the way to hear of that. */
const MODULES = ['virtio_pci', 'virtio_blk', 'button', 'evdev']

/** Of one block of the verifier. */
const BLOCK_BYTES = 4096

/** Part of the cached folder's name: raise it with each change of how the files are made. */
const RECIPE = 1

/**
 * The tiny guest that checks its disk: Debian's kernel with `test/guest` as its first programs. Made by the first call (some seconds and
 * a download of 30 MB) and kept in the temporary folder.
 *
 * It serves `/dev/vda` (virtio-blk) on the serial console `ttyS0`, see {@link GuestConsole}. One processor and 128 MiB are enough.
 *
 * @throws Error that names missing packages, or tells what failed
 */
export function guestFiles(): GuestFiles {
  const folder = guestFolder()
  // A guest that panics ends QEMU when that has -no-reboot. Anything else that the kernel says would come between the lines.
  const append = 'console=ttyS0 quiet loglevel=1 panic=-1'
  return { kernelPath: join(folder, 'vmlinuz'), initrdPath: join(folder, 'initrd'), append }
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
  const hash = createHash('sha256')
  for (const path of SOURCES) hash.update(readFileSync(path))
  return cached(`guest-${RECIPE}-${hash.digest('hex').slice(0, 16)}`, (work) => {
    const missing = missingPackages(PACKAGES)
    if (missing.length > 0) throw new Error(`The test guest needs ${missing.join('; ')}`)
    const packages = join(work, 'packages')
    const tree = join(work, 'tree')
    const made = join(work, 'made')
    for (const path of [packages, made, join(tree, 'bin'), join(tree, 'modules')]) mkdirSync(path, { recursive: true })
    const release = unpackDebianKernel(packages)
    unpackDebianPackage('busybox-static', packages)
    const [program, init] = SOURCES
    runCommand('gcc', ['-O2', '-static', '-pthread', '-Wall', '-Werror', '-o', join(made, 'verifier'), program!])
    copyFileSync(join(made, 'verifier'), join(tree, 'bin/verifier'))
    copyFileSync(join(packages, 'bin/busybox'), join(tree, 'bin/busybox'))
    cpSync(init!, join(tree, 'init'))
    runCommand('chmod', ['755', join(tree, 'init')])
    // Their names begin with numbers that put each after those that it needs.
    for (const [index, path] of modulePaths(packages, release).entries())
      copyFileSync(path, join(tree, 'modules', `${String(index).padStart(2, '0')}-${basename(path)}`))
    // Not compressed: an emulated processor would take longer to unpack it than QEMU to read it.
    const archive = 'cd "$1" && find . | "$2" cpio -o -H newc >"$3"'
    runCommand('sh', ['-c', archive, 'sh', tree, join(packages, 'bin/busybox'), join(made, 'initrd')])
    copyFileSync(join(packages, 'boot', `vmlinuz-${release}`), join(made, 'vmlinuz'))
    return made
  })
}

/** The files of the modules and of those that they need, in the order in which they can be loaded. */
function modulePaths(packages: string, release: string): readonly string[] {
  runCommand('depmod', ['-b', packages, release])
  const from = ['-d', packages, '-S', release]
  const lines = MODULES.flatMap((name) =>
    runCommand('modprobe', [...from, '--show-depends', name])
      .trim()
      .split('\n'),
  )
  // The others are built in.
  return [...new Set(lines)].flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? [])
}
