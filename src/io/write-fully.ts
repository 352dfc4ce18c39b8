import type { FileHandle } from 'node:fs/promises'

/** Writes all of `bytes` at `position`, in as many calls as the kernel needs. Errors of write(2) come as they are. */
export async function writeFully(handle: FileHandle, position: number, bytes: Uint8Array): Promise<void> {
  let done = 0
  do {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  } while (done < bytes.length)
}
