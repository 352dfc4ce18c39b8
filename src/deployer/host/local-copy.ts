import type { OverlayPlace } from '../host-protocol.ts'
import { findBase } from './base-cache.ts'
import { copyFault } from './copy-record.ts'
import type { HostFolder, VmFolder } from './host-folder.ts'

/** All that a machine's disk needs to be without the storage, but its overlay. */
export interface LocalCopy {
  readonly basePath: string
  /** What the machine alone has over the template; left out for generation 0, which has nothing. */
  readonly uniquePath?: string
  /** The upper of the two: what the overlay's header is to name. */
  readonly path: string
}

/** Looks for the local copy of a machine's image as of a generation. @returns it when it is complete and untouched; else why not */
export async function findLocalCopy(
  host: HostFolder,
  folder: VmFolder,
  { base, image, generation }: Pick<OverlayPlace, 'base' | 'image' | 'generation'>,
): Promise<LocalCopy | { readonly reason: string }> {
  const found = await findBase(host, base)
  if (!('path' in found)) return found
  if (generation === 0) return { basePath: found.path, path: found.path }
  const uniquePath = folder.uniquePath(generation)
  const reason = await copyFault(uniquePath, image)
  return reason === undefined ? { basePath: found.path, uniquePath, path: uniquePath } : { reason }
}
