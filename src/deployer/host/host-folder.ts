import { mkdtemp, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SkilfishError, type ErrorCode } from '../../errors.ts'
import { makeFolder, syncFolder, systemReason } from '../../io/index.ts'
import type { RemoteImage } from '../host-protocol.ts'

/** Longest path of a Unix socket on Linux, bytes without the end of the text. */
const MAX_SOCKET_PATH_BYTES = 107

/**
 * Where a host keeps things, below the folder that the plan names:
 *
 * - `bases/KEY.raw`, `KEY.json`: templates received, and what was known of each when it was complete; `KEY.part` while it comes
 * - `vms/CLUSTER/VM/`: what belongs to one virtual machine; of it, `unique-N.qcow2` and `unique-N.json` are the same for what its image of
 *   generation N has over the template
 */
export class HostFolder {
  readonly bases: string
  readonly vms: string

  constructor(root: string) {
    this.bases = join(root, 'bases')
    this.vms = join(root, 'vms')
  }

  basePath(key: string): string {
    return join(this.bases, `${key}.raw`)
  }

  /** @throws SkilfishError HOST_FAILED when the path is too long for sockets */
  vm(cluster: string, name: string): VmFolder {
    const folder = new VmFolder(join(this.vms, cluster, name))
    if (Buffer.byteLength(folder.consoleSocket) <= MAX_SOCKET_PATH_BYTES) return folder
    const wanted = `sockets in it must have paths of at most ${MAX_SOCKET_PATH_BYTES} bytes`
    throw new SkilfishError('HOST_FAILED', `cannot keep ${name} in ${folder.path}: ${wanted}`)
  }
}

/** The files of one virtual machine on its host. */
export class VmFolder {
  readonly path: string
  readonly overlay: string
  readonly qmpSocket: string
  readonly consoleSocket: string
  readonly pidFile: string
  readonly journal: string
  readonly cephConf: string

  constructor(path: string) {
    this.path = path
    this.overlay = join(path, 'overlay.qcow2')
    this.qmpSocket = join(path, 'qmp.sock')
    this.consoleSocket = join(path, 'console.sock')
    this.pidFile = join(path, 'qemu.pid')
    this.journal = join(path, 'vm.json')
    this.cephConf = join(path, 'ceph.conf')
  }

  /** The local copy of what this machine alone has over the template, of one generation of its image: read-only once it is complete. */
  uniquePath(generation: number): string {
    return join(this.path, `unique-${generation}.qcow2`)
  }
}

/** What a host remembers of a virtual machine: written before and after each step that changes what its overlay means. */
export interface VmJournal {
  /** The id of the image behind the overlay, the identity of the template that is made of, and its generation: what is in the overlay is relative to that. */
  readonly image: string
  readonly template: string
  readonly generation: number
  /** The image's size, bytes. */
  readonly sizeBytes: number
  /**
   * What the overlay has behind it: the storage; the local copy; or one of them, as a switch was begun and nobody knows how far it came.
   * Both have the same content, so the overlay is valid over either.
   */
  readonly base: 'remote' | 'switching' | 'local'
  /** How QEMU reads the storage, or would. */
  readonly remote?: RemoteImage
  /** Path of the local copy, once one was to be used: what the overlay's header names while the base is `local`. */
  readonly localPath?: string
  /** The overlay's content is in the storage as this generation. It may be dropped. */
  readonly committedAs?: number
}

/** Reads a small JSON file. @returns undefined when it is not there @throws SkilfishError with `code` */
export async function readJson<Value>(path: string, code: ErrorCode = 'HOST_FAILED'): Promise<Value | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Value
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw failed(code, `read ${path}`, error)
  }
}

function failed(code: ErrorCode, action: string, cause: unknown): SkilfishError {
  return new SkilfishError(code, `cannot ${action}: ${systemReason(cause)}`, { cause })
}

/** Writes a small JSON file so that a crash leaves the old one or the new one. @throws SkilfishError with `code` */
export async function writeJson(path: string, value: object, code: ErrorCode = 'HOST_FAILED'): Promise<void> {
  const temporary = `${path}.new`
  try {
    await makeFolder(dirname(path))
    await writeFile(temporary, JSON.stringify(value), { mode: 0o600, flush: true })
    await rename(temporary, path)
    await syncFolder(dirname(path))
  } catch (error) {
    await remove(temporary).catch(() => undefined)
    throw failed(code, `write ${path}`, error)
  }
}

/** Removes a file that may not be there. */
export const remove = (path: string): Promise<void> => rm(path, { force: true })

/** Makes a folder for a step alone, in a machine's. Its name is short, as paths of sockets in it must be. */
export const makeStepFolder = (parent: string): Promise<string> => mkdtemp(join(parent, STEP_FOLDER_PREFIX))

const STEP_FOLDER_PREFIX = 'd-'

/** Removes what steps that were killed have left; not while another step may be at work. */
export async function removeStepFolders({ path }: VmFolder): Promise<void> {
  for (const name of (await readdir(path)).filter((one) => one.startsWith(STEP_FOLDER_PREFIX))) {
    await rm(join(path, name), { recursive: true, force: true })
  }
}

/** Removes a folder that may not be there, unless something is in it. */
export const removeIfEmpty = (path: string): Promise<void> => rmdir(path).catch(() => undefined)
