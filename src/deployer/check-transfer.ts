import { parseGroup, resolveInterface } from '../io/index.ts'
import { DEFAULT_GROUP, DEFAULT_PORT } from '../protocol/index.ts'
import { loadGroupKey } from '../trust/index.ts'
import type { ClusterPlan } from './cluster-file.ts'

/**
 * Looks whether this machine can send a fetch as the description says: before machines are made and booted that would then wait for it.
 * @throws SkilfishError INTERFACE_NOT_FOUND; KEY_UNREADABLE, KEY_EXPOSED, KEY_INVALID
 */
export async function checkTransfer({
  group = DEFAULT_GROUP,
  interface: network,
  key,
  sender,
}: ClusterPlan['transfer']): Promise<void> {
  // What a host has is looked at there.
  if (sender !== undefined) return
  resolveInterface(network, parseGroup(group, DEFAULT_PORT).family)
  await loadGroupKey(key)
}
