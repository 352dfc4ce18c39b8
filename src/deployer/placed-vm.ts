import { SkilfishError } from '../errors.ts'
import type { VmPlan } from './cluster-file.ts'
import type { BaseName } from './host-protocol.ts'
import type { Storage, VmRecord } from './storage/index.ts'

/** A machine on the host that has its changes, wherever the description puts it. */
export interface PlacedVm extends VmPlan {
  /** Undefined when it has no image. */
  readonly record: VmRecord | undefined
  /** Why its record could not be read: then the host is the description's. */
  readonly recordError?: SkilfishError
}

/** Reads a machine's record. What that fails with is told where the record is needed: it keeps no other machine from anything. */
export async function placeVm(storage: Storage, vm: VmPlan): Promise<PlacedVm> {
  try {
    const record = await storage.vmRecord(vm.name)
    return { ...vm, host: record?.host ?? vm.host, record }
  } catch (recordError) {
    if (!(recordError instanceof SkilfishError)) throw recordError
    return { ...vm, record: undefined, recordError }
  }
}

/**
 * The record of a machine that is to be worked at.
 * @param base what the description says is the template; absent where that does not matter
 * @throws SkilfishError VM_STATE when the machine has no image, or its image is not one of this cluster and template; what reading its
 * record failed with
 */
export function requireRecord(cluster: string, { name, record, recordError }: PlacedVm, base?: BaseName): VmRecord {
  if (recordError !== undefined) throw recordError
  const fail = (text: string): SkilfishError => new SkilfishError('VM_STATE', `cannot work at ${name}: ${text}`)
  if (record === undefined) throw fail('it has no image in the storage; create it first')
  if (record.cluster !== cluster) throw fail(`its image belongs to the cluster ${record.cluster}; rename it`)
  if (base === undefined || record.template === base.identity) return record
  throw fail(
    `its image was made of another template than ${base.key}; name that one, or destroy the machine and create it anew`,
  )
}
