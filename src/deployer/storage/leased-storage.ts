import type { Lease, Storage } from './storage.ts'

/**
 * The same storage for whoever holds its lease: nothing is changed under one that is lost, as another deployer may be at work then. What
 * would take away what that has done asks the storage first.
 */
export function leasedStorage(storage: Storage, lease: Lease): Storage {
  const after =
    (look: () => Promise<void> | void) =>
    <Args extends readonly unknown[], Result>(change: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      await look()
      return change(...args)
    }
  const checked = after(() => lease.check())
  const confirmed = after(() => lease.confirm())
  return {
    template: () => storage.template(),
    acquireLease: (wait) => storage.acquireLease(wait),
    clusterRecord: () => storage.clusterRecord(),
    // Anybody may, with or without the lease.
    setClusterRecord: (record) => storage.setClusterRecord(record),
    vmRecord: (vm) => storage.vmRecord(vm),
    setVmRecord: checked((vm, record) => storage.setVmRecord(vm, record)),
    createVm: checked((vm, record) => storage.createVm(vm, record)),
    removeVm: confirmed((vm) => storage.removeVm(vm)),
    removeCluster: confirmed(() => storage.removeCluster()),
    remoteImage: checked((vm, generation) => storage.remoteImage(vm, generation)),
    openTarget: confirmed((vm) => storage.openTarget(vm)),
    closeTarget: checked((vm) => storage.closeTarget(vm)),
    snapshot: checked((vm, generation) => storage.snapshot(vm, generation)),
    rollBack: confirmed((vm, generation) => storage.rollBack(vm, generation)),
    prune: checked((vm, generation) => storage.prune(vm, generation)),
    uniqueRanges: (vm, generation) => storage.uniqueRanges(vm, generation),
  }
}
