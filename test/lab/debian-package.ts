import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from './command.ts'

/**
 * Downloads a Debian package from where this machine's apt takes them, and unpacks it without installing it.
 * @param folder must exist; other packages may have been unpacked there
 * @throws Error when apt does not find the package
 */
export function unpackDebianPackage(name: string, folder: string): void {
  const download = (): string => runCommand('env', ['-C', folder, 'apt-get', 'download', '-q', name])
  try {
    download()
  } catch {
    // The lists may be missing, or name versions that are gone.
    runCommand('apt-get', ['update', '-q'])
    download()
  }
  const archive = readdirSync(folder).find((file) => file.startsWith(`${name}_`) && file.endsWith('.deb'))
  if (archive === undefined) throw new Error(`apt-get has not downloaded ${name}`)
  runCommand('dpkg-deb', ['-x', join(folder, archive), folder])
}

/** Unpacks Debian's newest kernel for virtual machines. @returns its release, such as `6.1.0-56-cloud-amd64` */
export function unpackDebianKernel(folder: string): string {
  // A package that only depends on the newest.
  const depends = runCommand('apt-cache', ['depends', 'linux-image-cloud-amd64'])
  const release = /Depends: linux-image-(\S+)/.exec(depends)?.[1]
  if (release === undefined) throw new Error('apt knows no package linux-image-cloud-amd64: run apt-get update')
  unpackDebianPackage(`linux-image-${release}`, folder)
  return release
}
