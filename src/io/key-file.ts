import { constants } from 'node:fs'
import { open, unlink, type FileHandle } from 'node:fs/promises'
import { SkilfishError } from '../errors.ts'
import { errnoName, systemReason } from './storage-error.ts'

/** Longest key file, bytes: several times what any of them takes. */
const MAX_KEY_FILE_BYTES = 16_384

/** Bits of a mode that let anybody but the owner read or change a file. */
const OTHERS = 0o077

/** Who may know what is in a key file: its owner, or everybody. */
type Secrecy = 'secret' | 'public'

/**
 * Reads a key file: text of at most 16 KiB. A secret one must be closed to group and others (not looked at on
 * Windows, whose files have no such modes), unless it begins with a public key in PEM: whoever parses it says that it is the wrong one.
 * @throws SkilfishError KEY_UNREADABLE when it is not there, may not be read, or is no regular file; KEY_EXPOSED when others than its
 *   owner may read or change it; KEY_INVALID when it is too long
 */
export async function readKeyFile(path: string, secrecy: Secrecy): Promise<string> {
  let handle: FileHandle | undefined
  try {
    // Without O_NONBLOCK, a named pipe would be waited for.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const { mode, size } = await checkedFile(handle, path)
    if (size > MAX_KEY_FILE_BYTES) {
      const text = `cannot use key file ${path}: it has ${size} bytes; a key file has at most ${MAX_KEY_FILE_BYTES}`
      throw new SkilfishError('KEY_INVALID', text)
    }
    const text = await handle.readFile('utf8')
    if (secrecy === 'secret' && !isPublicKey(text)) requireClosed(path, mode)
    return text
  } catch (error) {
    throw keyFileError(`read key file ${path}`, error)
  } finally {
    await handle?.close()
  }
}

/** What is named by mistake where its secret half belongs: there is nothing in it to keep from others. */
const isPublicKey = (text: string): boolean =>
  text.startsWith('-----BEGIN PUBLIC KEY-----') && !text.includes('PRIVATE KEY')

function requireClosed(path: string, mode: number): void {
  if ((mode & OTHERS) === 0 || process.platform === 'win32') return
  const found = (mode & 0o777).toString(8).padStart(4, '0')
  const text = `cannot use key file ${path}: its mode is ${found}, so that others than its owner can get at it; it must be 0600 or 0400`
  throw new SkilfishError('KEY_EXPOSED', text)
}

async function checkedFile(handle: FileHandle, path: string): Promise<{ mode: number; size: number }> {
  const kind = await handle.stat()
  if (kind.isFile()) return kind
  throw new SkilfishError('KEY_UNREADABLE', `cannot read key file ${path}: it is not a regular file; name one`)
}

/**
 * Makes a key file that was not there before: mode 0600 when it is secret, else 0644. It is on stable storage when this resolves.
 * @throws SkilfishError KEY_EXISTS when there is something of that name, KEY_UNWRITABLE when it cannot be made or written; nothing is
 *   left then
 */
export async function createKeyFile(path: string, text: string, secrecy: Secrecy): Promise<void> {
  let handle: FileHandle | undefined
  try {
    handle = await open(path, 'wx', secrecy === 'secret' ? 0o600 : 0o644)
    await handle.writeFile(text)
    await handle.sync()
  } catch (error) {
    if (handle !== undefined) await unlink(path).catch(() => undefined)
    if (errnoName(error) === 'EEXIST') {
      const text = `cannot make key file ${path}: it is there already, and is not overwritten; name another or remove it`
      throw new SkilfishError('KEY_EXISTS', text, { cause: error })
    }
    const reason = systemReason(error)
    throw new SkilfishError('KEY_UNWRITABLE', `cannot make key file ${path}: ${reason}`, { cause: error })
  } finally {
    await handle?.close()
  }
}

const READ_FAULTS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist; skilfish-keygen makes one',
  ENOTDIR: 'a part of the path is not a folder; name an existing file',
  EACCES: 'permission denied; this user must be allowed to read it',
  EISDIR: 'it is a folder; name a file',
}

function keyFileError(action: string, cause: unknown): SkilfishError {
  if (cause instanceof SkilfishError) return cause
  const reason = READ_FAULTS[errnoName(cause) ?? ''] ?? systemReason(cause)
  return new SkilfishError('KEY_UNREADABLE', `cannot ${action}: ${reason}`, { cause })
}
