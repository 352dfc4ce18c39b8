import { randomBytes } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import { isRbdName } from '../rbd/index.ts'
import type { ImageFacts } from '../sparse/index.ts'
import { isIncompleteImage } from './rbd-sink.ts'
import { sourceError } from './storage-error.ts'

/** Length of the stamp, bytes: one page, which every device writes at once. */
export const STAMP_BYTES = 4096

const FIRST_LINE = 'SKILFISH INCOMPLETE IMAGE\n'

/** A mark is so many hexadecimal digits. */
const MARK_LINE = /^transfer: ([0-9a-f]{32})$/m

/** Draws what tells an unfinished target from every other: 32 hexadecimal digits. */
export const drawMark = (): string => randomBytes(16).toString('hex')

/**
 * What a target begins with until all of the image is there: text for people, padded with zeros to {@link STAMP_BYTES}.
 * @param mark from {@link drawMark}
 */
export function incompleteStamp(image: ImageFacts, mark: string): Uint8Array {
  const lines = [
    `name: ${oneLine(image.name)}`,
    `image: ${oneLine(image.imageId)}`,
    `size: ${image.sizeBytes === undefined ? 'not known yet' : `${image.sizeBytes} bytes`}`,
    `transfer: ${mark}`,
    'The first page of the image goes here when all of it has been received and verified.',
    'If no transfer is running, this image is of no use: go on with skilfish-recv --resume, or receive it again.',
  ]
  const stamp = new Uint8Array(STAMP_BYTES)
  new TextEncoder().encodeInto(`${FIRST_LINE}${lines.join('\n')}\n`, stamp)
  return stamp
}

/** The mark of a stamp; undefined for any other page. */
export function markOf(page: Uint8Array): string | undefined {
  const text = Buffer.from(page).toString('latin1')
  return text.startsWith(FIRST_LINE) ? MARK_LINE.exec(text)?.[1] : undefined
}

/**
 * Tells whether a file, block device or RBD image (`rbd:…`) holds the beginning of a transfer that has not ended, or not well. False
 * for what is none of them, as a pipe keeps nothing.
 *
 * On a block device, an image shorter than the first line of the stamp (26 bytes) leaves too little to be told by.
 * @throws SkilfishError SOURCE_NOT_FOUND, SOURCE_DENIED or SOURCE_FAILED when `path` cannot be read; OPTION_INVALID, RBD_MISSING and
 * RBD_UNREACHABLE for RBD images.
 */
export async function isIncompleteTarget(path: string): Promise<boolean> {
  if (isRbdName(path)) return isIncompleteImage(path)
  try {
    const kind = await stat(path)
    if (!kind.isFile() && !kind.isBlockDevice()) return false
    const handle = await open(path, 'r')
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(FIRST_LINE.length), 0, FIRST_LINE.length, 0)
      return buffer.toString('latin1', 0, bytesRead) === FIRST_LINE
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw sourceError(`look at ${path}`, error)
  }
}

/** Cuts to 1024 characters, so that what follows has room, and to printable ones, as people will show this on terminals. */
const oneLine = (text: string): string => text.slice(0, 1024).replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '?')
