import { constants, createWriteStream, fdatasync, fstatSync, openSync, write, writev, type Stats } from 'node:fs'
import { access, readlink, stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { dirname } from 'node:path'
import type { Writable } from 'node:stream'
import { isatty } from 'node:tty'
import { promisify } from 'node:util'
import { SkilfishError } from '../errors.ts'
import { isRbdName } from '../rbd/index.ts'
import type { ImageSink } from '../sparse/index.ts'
import { FileSink } from './file-sink.ts'
import { RbdSink } from './rbd-sink.ts'
import { errnoName, targetError } from './storage-error.ts'
import { StreamSink } from './stream-sink.ts'
import type { SinkOptions } from './target-file.ts'

const STDOUT_FD = 1

/**
 * Opens where a received image shall go, and checks at once what can be checked before the image is known: nothing is
 * changed before the sink's own `open`.
 *
 * - A new file, in an existing folder: sparse, holes stay holes.
 * - An existing regular file: emptied first, so that nothing old survives, unless `assumeZeroed`.
 * - A block device: opened for this sink alone; holes are zeroed, unless `assumeZeroed`. What lies behind the image stays.
 * - `rbd:[POOL/[NAMESPACE/]]IMAGE`: made where there is none, else of the image's size and used by nobody; holes are zeroed, unless
 *   `assumeZeroed`.
 * - `-` (standard output), a named pipe that someone reads, a character device: sequential, holes are written as zeros.
 *
 * Files and devices that are not finished begin with a stamp (`isIncompleteTarget`). `write` and `zero` must touch each byte
 * at most once.
 *
 * @throws SkilfishError TARGET_NOT_FOUND, TARGET_DENIED, TARGET_BUSY, TARGET_CLOSED, TARGET_FAILED; TARGET_UNSUPPORTED for
 * folders, sockets and terminals, and for `sync` or `direct` where they are not to be had; OPTION_INVALID, RBD_MISSING and
 * RBD_UNREACHABLE for RBD images.
 */
export async function openSink(path: string, options: SinkOptions = {}): Promise<ImageSink> {
  if (isRbdName(path)) return openImage(path, options)
  if (path === '-') return openStandardOutput(options)
  try {
    const kind = await existing(path)
    if (kind === undefined) {
      await checkNewFile(path)
      return FileSink.newFile(path, options)
    }
    if (kind.isFile()) return await FileSink.existingFile(path, options)
    if (kind.isBlockDevice()) return await FileSink.blockDevice(path, options)
    if (kind.isFIFO()) return openPipe(path, options)
    if (kind.isCharacterDevice()) return openCharacterDevice(path, options)
    throw unsupported(path, kind.isDirectory() ? 'a folder' : 'a socket')
  } catch (error) {
    throw targetError(`open ${path}`, error)
  }
}

async function existing(path: string): Promise<Stats | undefined> {
  return stat(path).catch((error: unknown) => {
    if (errnoName(error) === 'ENOENT') return undefined
    throw error
  })
}

async function checkNewFile(path: string): Promise<void> {
  const linked = await readlink(path).catch(() => undefined)
  if (linked !== undefined) {
    const text = `cannot open ${path}: it is a link to ${linked}, which does not exist; name the file itself`
    throw new SkilfishError('TARGET_NOT_FOUND', text)
  }
  if (path.endsWith('/')) {
    throw new SkilfishError(
      'TARGET_NOT_FOUND',
      `cannot open ${path}: there is no such folder; name a file in an existing one`,
    )
  }
  const folder = dirname(path)
  const [place, devices, root] = await Promise.all([stat(folder), existing('/dev'), stat('/')])
  // A mistyped device name would otherwise become a file that fills the memory behind /dev.
  if (place.dev === devices?.dev && place.dev !== root.dev) {
    const text = `cannot open ${path}: there is no such device; name an existing one, or a file outside ${folder}`
    throw new SkilfishError('TARGET_NOT_FOUND', text)
  }
  await access(folder, constants.W_OK | constants.X_OK)
}

async function openImage(path: string, options: SinkOptions): Promise<RbdSink> {
  refuseFileOptions(path, options)
  return RbdSink.prepare(path, options.assumeZeroed ?? false)
}

function openStandardOutput(options: SinkOptions): StreamSink {
  const label = 'standard output'
  refuseFileOptions(label, options)
  if (isatty(STDOUT_FD)) throw unsupported(label, 'a terminal')
  const kind = fstatSync(STDOUT_FD)
  const flush = kind.isFile() ? () => promisify(fdatasync)(STDOUT_FD) : undefined
  return new StreamSink(label, streamTo(STDOUT_FD, kind), flush)
}

function openPipe(path: string, options: SinkOptions): StreamSink {
  refuseFileOptions(path, options)
  try {
    // Without O_NONBLOCK, open(2) would wait for the reader on a worker thread, and not even process.exit() ends that.
    const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
    return new StreamSink(path, streamTo(fd, fstatSync(fd)))
  } catch (error) {
    if (errnoName(error) !== 'ENXIO') throw error
    const text = `cannot open ${path}: no program reads this pipe; start its reader first`
    throw new SkilfishError('TARGET_CLOSED', text, { cause: error })
  }
}

function openCharacterDevice(path: string, options: SinkOptions): StreamSink {
  refuseFileOptions(path, options)
  const fd = openSync(path, constants.O_WRONLY | constants.O_NOCTTY)
  const stream = streamTo(fd, fstatSync(fd))
  if (!isatty(fd)) return new StreamSink(path, stream)
  stream.destroy()
  throw unsupported(path, 'a terminal')
}

/**
 * Pipes and sockets are written when they are ready: `process.stdout` would hold up the whole process as long as the reader
 * is slow, and packets would be lost meanwhile. What is always ready is written on worker threads.
 */
function streamTo(fd: number, kind: Stats): Writable {
  if (kind.isFIFO() || kind.isSocket()) return new Socket({ fd, readable: false, writable: true })
  return createWriteStream('', fd === STDOUT_FD ? { fd, fs: KEEPING_OPEN } : { fd })
}

/** Standard output is not ours to close: koffi flushes it when the process ends, and would say that it could not. */
const KEEPING_OPEN = { write, writev, close: (_fd: number, done: (error: null) => void) => done(null) }

function refuseFileOptions(label: string, options: SinkOptions): void {
  const option = options.direct ? '--direct' : options.sync ? '--sync' : undefined
  if (option === undefined) return
  const text = `cannot write ${label} with ${option}: only files and block devices have that; leave out ${option}`
  throw new SkilfishError('TARGET_UNSUPPORTED', text)
}

function unsupported(label: string, state: string): SkilfishError {
  const wanted = 'name a regular file or a block device, or pipe the data out with -'
  return new SkilfishError('TARGET_UNSUPPORTED', `cannot receive to ${label}: it is ${state}; ${wanted}`)
}
