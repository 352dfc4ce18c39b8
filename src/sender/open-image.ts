import { SkilfishError } from '../errors.ts'
import { isIncompleteTarget, openSource } from '../io/index.ts'
import { isRbdName, parseRbdName } from '../rbd/index.ts'
import type { ImageSource } from '../sparse/index.ts'

/**
 * Opens what is to be sent, but for what a transfer has left unfinished. A snapshot in Ceph is taken as it is: the mark there is its image's.
 * @throws SkilfishError SOURCE_INCOMPLETE, and as `openSource`
 */
export async function openImage(path: string): Promise<ImageSource> {
  const source = await openSource(path)
  try {
    const isKept = path !== '-' && !(isRbdName(path) && parseRbdName(path).snapshot !== undefined)
    if (!isKept || !(await isIncompleteTarget(path))) return source
    const text = `cannot send ${path}: a transfer to it has not ended, or not well; most of it may be missing`
    throw new SkilfishError('SOURCE_INCOMPLETE', text)
  } catch (error) {
    await source.close?.()
    throw error
  }
}
