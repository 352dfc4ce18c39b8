import { parseGroup, resolveInterface } from '../io/index.ts'
import { DEFAULT_GROUP, DEFAULT_PORT } from '../protocol/index.ts'
import { loadGroupKey } from '../trust/index.ts'
import type { TransferPlace } from './host-protocol.ts'

/**
 * Looks whether this machine can send a fetch as the description says: before machines are made and booted that would then wait for it.
 * @throws SkilfishError INTERFACE_NOT_FOUND; KEY_UNREADABLE, KEY_EXPOSED, KEY_INVALID
 */
export async function checkTransfer({ group = DEFAULT_GROUP, interface: network, key }: TransferPlace): Promise<void> {
  resolveInterface(network, parseGroup(group, DEFAULT_PORT).family)
  await loadGroupKey(key)
}
