import { SkilfishError } from '../errors.ts'

/** What every name of an RBD image begins with. A file of such a name is named with a folder: `./rbd:name`. */
const PREFIX = 'rbd:'

/** The place of an image in a Ceph cluster. Left out: the pool that `rbd` takes by itself, no namespace, the present state. */
export interface RbdName {
  readonly pool?: string
  readonly namespace?: string
  readonly image: string
  readonly snapshot?: string
}

/** Whether a source or target names an RBD image. */
export const isRbdName = (text: string): boolean => text.startsWith(PREFIX)

/**
 * Reads `rbd:[POOL/[NAMESPACE/]]IMAGE[@SNAPSHOT]`. No part is empty, has a control character, `/` or `@` in it, or is longer than 4096 bytes.
 * @throws SkilfishError OPTION_INVALID
 */
export function parseRbdName(text: string): RbdName {
  const [path = '', snapshot, ...rest] = text.slice(PREFIX.length).split('@')
  const parts = path.split('/')
  const image = parts.pop() ?? ''
  const [pool, namespace] = parts
  const all = [...parts, image, ...(snapshot === undefined ? [] : [snapshot])]
  if (!isRbdName(text) || rest.length > 0 || parts.length > 2 || !all.every(isPart)) {
    const wanted = 'rbd:[POOL/[NAMESPACE/]]IMAGE[@SNAPSHOT]'
    throw new SkilfishError(
      'OPTION_INVALID',
      `cannot use ${JSON.stringify(text)} as the name of an RBD image; expected ${wanted}`,
    )
  }
  return {
    image,
    ...(pool === undefined ? {} : { pool }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(snapshot === undefined ? {} : { snapshot }),
  }
}

const isPart = (part: string): boolean => part.length >= 1 && part.length <= 4096 && !/[\p{Cc}/]/u.test(part)
