import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { missingPackages, runCommand, type Packages } from './command.ts'
import { unpackDebianKernel, unpackDebianPackage } from './debian-package.ts'

/** What QEMU needs to boot Linux without a boot loader on the disk. */
export interface BootFiles {
  readonly kernelPath: string
  readonly initrdPath: string
  /** The kernel's command line. Words may be added. */
  readonly append: string
}

export interface BootRecipe {
  /** Script of the first program, for `/bin/busybox sh`. It finds modules in `/modules`, to be loaded in the order of their names. */
  readonly init: string
  /** Names of the modules wanted; those that they need come too. */
  readonly modules: readonly string[]
  /** Files for `/bin`. */
  readonly programs?: readonly string[]
}

const PACKAGES: Packages = {
  ...{ kmod: ['depmod', 'modprobe'], apt: ['apt-get', 'apt-cache'], dpkg: ['dpkg-deb'] },
}

/**
 * Makes `vmlinuz` and `initrd` in a folder, of Debian's kernel for virtual machines and its busybox. Downloads 30 MB.
 * @throws Error that names missing packages, or tells what failed
 */
export function makeBootFiles(folder: string, workFolder: string, { init, modules, programs = [] }: BootRecipe): void {
  const missing = missingPackages(PACKAGES)
  if (missing.length > 0) throw new Error(`A kernel and its first programs need ${missing.join('; ')}`)
  const packages = join(workFolder, 'packages')
  const tree = join(workFolder, 'tree')
  const busybox = join(packages, 'bin/busybox')
  for (const path of [packages, ...['bin', 'modules', 'proc', 'dev', 'root'].map((name) => join(tree, name))])
    mkdirSync(path, { recursive: true })
  const release = unpackDebianKernel(packages)
  unpackDebianPackage('busybox-static', packages)
  writeFileSync(join(tree, 'init'), init, { mode: 0o755 })
  for (const path of [busybox, ...programs]) copyFileSync(path, join(tree, 'bin', basename(path)))
  // Their names begin with numbers that put each after those that it needs.
  for (const [index, path] of modulePaths(packages, release, modules).entries())
    copyFileSync(path, join(tree, 'modules', `${String(index).padStart(2, '0')}-${basename(path)}`))
  // Not compressed: an emulated processor would take longer to unpack it than QEMU to read it.
  const archive = 'cd "$1" && find . | "$2" cpio -o -H newc >"$3"'
  runCommand('sh', ['-c', archive, 'sh', tree, busybox, join(folder, 'initrd')])
  copyFileSync(join(packages, 'boot', `vmlinuz-${release}`), join(folder, 'vmlinuz'))
}

/** Those that {@link makeBootFiles} has made in a folder. A guest that panics ends QEMU when that has `-no-reboot`. */
export function bootFiles(folder: string): BootFiles {
  return {
    kernelPath: join(folder, 'vmlinuz'),
    initrdPath: join(folder, 'initrd'),
    append: 'console=ttyS0 quiet loglevel=1 panic=-1',
  }
}

/** The files of modules and of those that they need, in the order in which they can be loaded. */
function modulePaths(packages: string, release: string, modules: readonly string[]): readonly string[] {
  runCommand('depmod', ['-b', packages, release])
  const from = ['-d', packages, '-S', release]
  const lines = modules.flatMap((name) => runCommand('modprobe', [...from, '--show-depends', name]).split('\n'))
  // The others are built in.
  return [...new Set(lines)].flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? [])
}
