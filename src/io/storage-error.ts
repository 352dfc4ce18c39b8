import { getSystemErrorMap } from 'node:util'
import { SkilfishError, type ErrorCode } from '../errors.ts'

type Fault = readonly [code: ErrorCode, text: string]

const SOURCE_FAULTS: Readonly<Record<string, Fault>> = {
  ENOENT: ['SOURCE_NOT_FOUND', 'it does not exist; name an existing file or device'],
  ENOTDIR: ['SOURCE_NOT_FOUND', 'a part of the path is not a folder; name an existing file or device'],
  EACCES: ['SOURCE_DENIED', 'permission denied; this user must be allowed to read it'],
  EPERM: ['SOURCE_DENIED', 'permission denied; this user must be allowed to read it'],
  EISDIR: ['SOURCE_UNSUPPORTED', 'it is a folder; name a regular file or a block device'],
}

const TARGET_FAULTS: Readonly<Record<string, Fault>> = {
  ENOENT: ['TARGET_NOT_FOUND', 'its folder does not exist; name a file in an existing folder'],
  ENOTDIR: ['TARGET_NOT_FOUND', 'a part of the path is not a folder; name a file in an existing folder'],
  EACCES: ['TARGET_DENIED', 'permission denied; this user must be allowed to write it'],
  EPERM: ['TARGET_DENIED', 'permission denied; this user must be allowed to write it'],
  EROFS: ['TARGET_DENIED', 'it is read-only; it must be writable'],
  EBUSY: ['TARGET_BUSY', 'it is mounted or in use; nothing else may use it'],
  ETXTBSY: ['TARGET_BUSY', 'it is a running program or swap space; nothing else may use it'],
  EFBIG: ['TARGET_TOO_SMALL', 'the file system or a limit of this user does not allow files of this size'],
  ENOSPC: ['TARGET_FULL', 'no space is left; free some or use another file system'],
  EDQUOT: ['TARGET_FULL', "this user's disk quota is used up; free some space or use another file system"],
  EISDIR: ['TARGET_UNSUPPORTED', 'it is a folder; name a regular file or a block device'],
  EEXIST: ['TARGET_FAILED', 'another program made it in the meantime; name a free path'],
  EPIPE: ['TARGET_CLOSED', 'the program that reads it has gone; it must read to the end'],
  ECONNRESET: ['TARGET_CLOSED', 'the program that reads it has gone; it must read to the end'],
}

/**
 * The error to throw when the kernel refuses something with the source. `action` completes "cannot …" and names the path.
 * A `cause` that is a SkilfishError already is returned as it is.
 */
export function sourceError(action: string, cause: unknown): SkilfishError {
  return storageError(action, cause, SOURCE_FAULTS, ['SOURCE_FAILED', 'it must be readable throughout'])
}

/** The same for the target. */
export function targetError(action: string, cause: unknown): SkilfishError {
  return storageError(action, cause, TARGET_FAULTS, ['TARGET_FAILED', 'it must accept every write'])
}

const REASONS: Readonly<Record<string, string>> = {
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of the path is not a folder',
}

/** What the system refused with, as a part of a message: without the number, the call and the path that Node.js puts around it. */
export function systemReason(error: unknown): string {
  const known = REASONS[errnoName(error) ?? '']
  if (known !== undefined) return known
  const errno = error instanceof Error && 'errno' in error ? error.errno : undefined
  const [, words] = (typeof errno === 'number' && getSystemErrorMap().get(errno)) || []
  return words ?? (error instanceof Error ? error.message : String(error))
}

/** The symbolic error number (`ENOSPC`) of an error of Node.js, or undefined. */
export function errnoName(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : undefined
}

function storageError(
  action: string,
  cause: unknown,
  faults: Readonly<Record<string, Fault>>,
  [otherCode, wanted]: Fault,
): SkilfishError {
  if (cause instanceof SkilfishError) return cause
  const fault = faults[errnoName(cause) ?? '']
  if (fault) return new SkilfishError(fault[0], `cannot ${action}: ${fault[1]}`, { cause })
  const reason = systemReason(cause)
  return new SkilfishError(otherCode, `cannot ${action}: ${reason}; ${wanted}`, { cause })
}
