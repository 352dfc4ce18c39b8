import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BlockNodeOptions } from '../../qmp/index.ts'

/** Where Ceph's library looks when it is told nothing. */
const DEFAULT_CONF = '/etc/ceph/ceph.conf'

/**
 * By itself librbd sends one write to an object and holds back the others until it has ended. The first write to an object of a clone waits
 * for its copy from the template: those that come meanwhile and are not held back are sent with the copy, in one request.
 */
const SETTINGS = '\n[client]\nrbd io scheduler = none\n'

/**
 * The same image, for writing much of it at once: with a configuration of Ceph of its own, if it is Ceph's and the configuration can be read.
 * @param folder where that goes, of this user alone
 */
export async function withWholeObjects(image: BlockNodeOptions, folder: string): Promise<BlockNodeOptions> {
  if (image.driver !== 'rbd') return image
  const { conf = process.env['CEPH_CONF'] ?? DEFAULT_CONF } = image
  const text = await readFile(conf, 'utf8').catch(() => undefined)
  if (text === undefined) return image
  const own = join(folder, 'ceph.conf')
  await writeFile(own, text + SETTINGS, { mode: 0o600 })
  return { ...image, conf: own }
}
