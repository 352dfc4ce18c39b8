import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { bootFiles, makeBootFiles, type BootFiles } from './boot-files.ts'
import { cached } from './cache-folder.ts'
import { missingPackages, runCommand, type Packages } from './command.ts'

export interface DebianGuest extends BootFiles {
  /** A raw image of 1 GiB, some 300 MB of it data, with one ext4 file system. Callers share it: do not write to it. */
  readonly diskPath: string
}

const PACKAGES: Packages = { mmdebstrap: ['mmdebstrap'], apt: ['apt-get'], e2fsprogs: ['mke2fs'] }

/** The disk and its file system, the power button, and the way to hear of that. */
const MODULES = ['virtio_pci', 'virtio_blk', 'ext4', 'button', 'evdev']

/** Beside the packages that every Debian has: what boots it, what hears of the power button, what measures. */
const INCLUDED = ['systemd-sysv', 'udev', 'dbus', 'fio']

/** Texts for people, which nobody will read there. */
const LEFT_OUT = ['/usr/share/man/*', '/usr/share/doc/*', '/usr/share/locale/*']

/** Part of the cached folder's name: raise it with each change of how the files are made. */
const RECIPE = 1

/**
 * A real Debian of the release of this machine, as small as it gets with systemd and fio. It boots to a login on the serial console
 * `ttyS0`, where `root` needs no password, and powers off at the press of the button. It has no network. 512 MiB of memory are enough.
 *
 * Made by the first call (some minutes, 100 MB from the mirrors that apt is set up with; needs root) and kept in the temporary folder.
 *
 * @throws Error that names missing packages, or tells what failed
 */
export function debianGuest(): DebianGuest {
  const folder = cached(`debian-guest-${RECIPE}`, (work) => {
    const missing = missingPackages(PACKAGES)
    if (missing.length > 0) throw new Error(`The Debian guest needs ${missing.join('; ')}`)
    const root = join(work, 'root')
    const made = join(work, 'made')
    mkdirSync(made)
    const init = readFileSync(new URL('../guest/debian-init', import.meta.url), 'utf8')
    makeBootFiles(made, work, { init, modules: MODULES })
    runCommand(
      'mmdebstrap',
      [
        ...['--quiet', '--variant=minbase', `--include=${INCLUDED.join(',')}`],
        ...LEFT_OUT.map((path) => `--dpkgopt=path-exclude=${path}`),
        ...[
          '--customize-hook=chroot "$1" passwd --quiet --delete root',
          '--customize-hook=echo guest >"$1/etc/hostname"',
        ],
        ...[debianRelease(), root, '-'],
      ],
      aptSources(),
    )
    runCommand('mke2fs', ['-q', '-t', 'ext4', '-d', root, '-E', 'root_owner=0:0', join(made, 'disk'), '1G'])
    return made
  })
  return { ...bootFiles(folder), diskPath: join(folder, 'disk') }
}

/** Where this machine's apt takes Debian's packages from, a line each. */
function aptSources(): string {
  const format = 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)'
  const sources = runCommand('apt-get', ['indextargets', '--format', format, 'Created-By: Packages', 'Origin: Debian'])
  if (sources === '') throw new Error('apt knows no packages of Debian: run apt-get update')
  return sources
}

function debianRelease(): string {
  const release = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1]
  if (release === undefined) throw new Error('/etc/os-release does not name the release of Debian')
  return release
}
