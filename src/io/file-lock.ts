import { statfs, type FileHandle } from 'node:fs/promises'
import { constants } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { loadLibc } from './libc.ts'

/** flock(2), <sys/file.h>. */
const OPERATION = { shared: 1, exclusive: 2 } as const
const LOCK_NB = 4

/**
 * File systems of other hosts, by `f_type` of statfs(2): NFS, SMB, CIFS, SMB2. There flock(2) becomes a lock of bytes, which shuts out also
 * who asks for no such lock, like QEMU, or even whoever reads.
 */
const REMOTE_TYPES: ReadonlySet<number> = new Set([0x6969, 0x517b, 0xff534d42, 0xfe534d42])

/** A device may be locked for a moment by udev, which looks what is on it (systemd: "Locking Block Device Access"). */
const TRY_COUNT = 20
const TRY_MS = 50

/**
 * Locks an open file or device until its descriptor is closed: who sends it `shared`, who receives it `exclusive`. Those who ask for no
 * lock are not kept away. Nothing is locked without the foreign function interface or on file systems of other hosts.
 *
 * @returns false when somebody else holds a lock that excludes this one, still after a second
 */
export async function lockFile(handle: FileHandle, path: string, kind: keyof typeof OPERATION): Promise<boolean> {
  const libc = loadLibc()
  if (libc === undefined || REMOTE_TYPES.has((await statfs(path)).type)) return true
  for (let tryCount = 1; ; tryCount++) {
    // Any other failure means that there are no locks here.
    if (libc.flock(handle.fd, OPERATION[kind] | LOCK_NB) !== -constants.errno.EWOULDBLOCK) return true
    if (tryCount === TRY_COUNT) return false
    await delay(TRY_MS)
  }
}
