import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SkilfishError } from '../../errors.ts'
import { systemReason } from '../../io/index.ts'
import type { BlockNodeOptions } from '../../qmp/index.ts'
import type { VmFolder } from './host-folder.ts'

/** Where Ceph's library looks when it is told nothing. */
const DEFAULT_CONF = '/etc/ceph/ceph.conf'

/** How long requests wait for a Ceph cluster that does not answer before the guest is paused, seconds. */
const TIMEOUT_SECONDS = 15

const LIMITS = ['client mount timeout', 'rados mon op timeout', 'rados osd op timeout']

/**
 * The same options for reading from the storage, with limits to how long a Ceph cluster is waited for: without them a request that
 * meets a stopped cluster never ends, and neither does whatever waits for it.
 * @throws SkilfishError HOST_FAILED when the configuration of Ceph cannot be read
 */
export const withTimeouts = (image: BlockNodeOptions, folder: VmFolder): Promise<BlockNodeOptions> =>
  withSettings(
    image,
    folder.cephConf,
    LIMITS.map((name) => `${name} = ${TIMEOUT_SECONDS}`),
  )

/**
 * The same image, for writing much of it at once. By itself librbd sends one write to an object and holds back the others until it has
 * ended. The first write to an object of a clone waits for its copy from the template: those that come meanwhile and are not held back are
 * sent with the copy, in one request.
 * @param folder of this user alone
 * @throws SkilfishError HOST_FAILED when the configuration of Ceph cannot be read
 */
export const withWholeObjects = (image: BlockNodeOptions, folder: string): Promise<BlockNodeOptions> =>
  withSettings(image, join(folder, 'ceph.conf'), ['rbd io scheduler = none'])

/** An image of Ceph, with a configuration of its own. */
async function withSettings(
  image: BlockNodeOptions,
  path: string,
  settings: readonly string[],
): Promise<BlockNodeOptions> {
  if (image.driver !== 'rbd') return image
  const { conf = process.env['CEPH_CONF'] ?? DEFAULT_CONF } = image
  const text = await readFile(conf, 'utf8').catch((cause: unknown) => {
    const reason = systemReason(cause)
    throw new SkilfishError('HOST_FAILED', `cannot read the configuration of Ceph, ${conf}: ${reason}`, { cause })
  })
  await writeFile(path, `${text.trimEnd()}\n[client]\n${settings.join('\n')}\n`, { mode: 0o600 })
  return { ...image, conf: path }
}
