import { SkilfishError } from '../../errors.ts'
import type { ClusterPlan } from '../cluster-file.ts'
import { FileStorage } from './file-storage.ts'
import { RbdStorage } from './rbd-storage.ts'
import type { Storage } from './storage.ts'

export { leasedStorage } from './leased-storage.ts'
export type { Storage, Template, VmRecord } from './storage.ts'

/** Where hosts reach this machine by default: only those that are this machine. */
const DEFAULT_LISTEN = '127.0.0.1:10809'

/** The storage that a plan names. @throws SkilfishError CLUSTER_INVALID */
export function openStorage({ cluster, storage }: ClusterPlan): Storage {
  const { template, cephConf, listen = DEFAULT_LISTEN } = storage
  if (template.startsWith('rbd:')) return new RbdStorage(template, cluster, cephConf)
  const [host = '', port = ''] = listen.split(':')
  if (!(Number(port) >= 1 && Number(port) <= 65535)) {
    throw new SkilfishError('CLUSTER_INVALID', `cannot listen at ${listen}: a port is from 1 to 65535`)
  }
  return new FileStorage(template.slice('file:'.length), cluster, { host, port: Number(port) })
}
