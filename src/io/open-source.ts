import { constants, createReadStream, openSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { isatty } from 'node:tty'
import { SkilfishError } from '../errors.ts'
import { isRbdName } from '../rbd/index.ts'
import type { ImageSource } from '../sparse/index.ts'
import { lockFile } from './file-lock.ts'
import { FileSource } from './file-source.ts'
import { RbdSource } from './rbd-source.ts'
import { sourceError } from './storage-error.ts'
import { ByteStreamSource } from './stream-source.ts'

/** Bytes asked of a character device or a redirected file at once. A pipe gives at most 64 KiB at a time. */
const READ_BYTES = 1024 * 1024

/** How a source is opened. */
export interface SourceOptions {
  /** Path of Ceph's configuration, for RBD images. Default: what `rbd` looks at by itself, `CEPH_CONF` and then `/etc/ceph`. */
  readonly cephConf?: string
}

/**
 * Opens what is to be sent, for reading only.
 *
 * - A regular file or a block device: a `RandomAccessSource`. Its holes are found without reading them where the foreign
 *   function interface is there (`koffi`); else they are read, and count as data that is zero.
 *   A block device has no `identity`.
 * - `rbd:[POOL/[NAMESPACE/]]IMAGE[@SNAPSHOT]`: a `StreamSource` that holds no holes. Without a snapshot it has no `identity`, and
 *   whoever writes to the image meanwhile changes what is sent.
 * - `-` (standard input), a named pipe, a character device: a `StreamSource` of unknown size.
 *
 * A named pipe is opened at once, also before its writer comes.
 *
 * A file or device is locked against receivers (flock(2)) until the source is closed.
 *
 * @throws SkilfishError SOURCE_NOT_FOUND, SOURCE_DENIED, SOURCE_BUSY, SOURCE_FAILED; SOURCE_UNSUPPORTED for folders, sockets and terminals;
 * OPTION_INVALID, RBD_MISSING and RBD_UNREACHABLE for RBD images.
 */
export async function openSource(path: string, options: SourceOptions = {}): Promise<ImageSource> {
  if (isRbdName(path)) return RbdSource.open(path, options)
  if (path === '-') {
    if (process.stdin.isTTY) throw unsupported('standard input', 'a terminal')
    return new ByteStreamSource('standard input', process.stdin)
  }
  try {
    const kind = await stat(path)
    if (kind.isFile() || kind.isBlockDevice()) return await openFile(path)
    if (kind.isFIFO()) return openPipe(path)
    if (kind.isCharacterDevice()) return openCharacterDevice(path)
    throw unsupported(path, kind.isDirectory() ? 'a folder' : 'a socket')
  } catch (error) {
    throw sourceError(`open ${path}`, error)
  }
}

async function openFile(path: string): Promise<FileSource> {
  const handle = await open(path, constants.O_RDONLY)
  try {
    if (!(await lockFile(handle, path, 'shared'))) {
      const text = 'it is being received, or locked by another program; nothing may write to it meanwhile'
      throw new SkilfishError('SOURCE_BUSY', `cannot read ${path}: ${text}`)
    }
    return await FileSource.of(path, handle, await handle.stat({ bigint: true }))
  } catch (error) {
    await handle.close()
    throw error
  }
}

function openPipe(path: string): ByteStreamSource {
  // Without O_NONBLOCK, open(2) would wait for the writer on a worker thread, and not even process.exit() ends that.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  return new ByteStreamSource(path, new Socket({ fd, readable: true, writable: false }))
}

function openCharacterDevice(path: string): ByteStreamSource {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOCTTY)
  const stream = createReadStream('', { fd, highWaterMark: READ_BYTES })
  if (!isatty(fd)) return new ByteStreamSource(path, stream)
  stream.destroy()
  throw unsupported(path, 'a terminal')
}

function unsupported(label: string, state: string): SkilfishError {
  const wanted = 'name a regular file or a block device, or pipe the data in with -'
  return new SkilfishError('SOURCE_UNSUPPORTED', `cannot send ${label}: it is ${state}; ${wanted}`)
}
