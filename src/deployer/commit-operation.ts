import { SkilfishError } from '../errors.ts'
import type { CommitResult } from './deployer-events.ts'
import type { HostAgent } from './host-agent.ts'
import type { BaseName, StepHooks, VmPlace } from './host-protocol.ts'
import type { Storage, VmRecord } from './storage/index.ts'

export interface CommitRequest {
  readonly storage: Storage
  readonly agent: HostAgent
  readonly place: VmPlace
  readonly record: VmRecord
  readonly base: BaseName
  readonly bytesPerSec: number
  readonly hooks: StepHooks
}

/**
 * Makes what a machine has changed a new generation of its image. The record in the storage is what counts: it names a commit that was
 * begun before the image is touched, and the new generation when all is written, read back and a snapshot. Between the two, whoever
 * comes rolls the image back first. The overlay is kept until the new generation counts.
 */
export async function commitVm(request: CommitRequest): Promise<CommitResult> {
  const { storage, agent, place, record, base, bytesPerSec, hooks } = request
  const { vm } = place
  if (record.host === undefined) return committedBefore(request)
  const { cluster, template } = record
  const settled: VmRecord = { cluster, template, generation: record.generation, host: record.host }
  if (record.committing !== undefined) await storage.rollBack(vm, record.generation)
  const generation = record.generation + 1
  await storage.setVmRecord(vm, { ...settled, committing: generation })
  const report = await write(generation)
  const startedMs = performance.now()
  await storage.snapshot(vm, generation)
  await storage.setVmRecord(vm, { cluster, template, generation })
  await agent.run({ step: 'committed', ...place, generation }, hooks)
  // The commit counts. What is left now goes with the next one.
  await storage.prune(vm, generation).catch(() => undefined)
  return { ...report, generation, snapshotMs: performance.now() - startedMs }

  async function write(next: number): Promise<Omit<CommitResult, 'generation' | 'snapshotMs'>> {
    try {
      const target = await storage.openTarget(vm)
      // What is not in the overlay is read from here, if anything: the generation before, or as much of the image as is not yet written.
      const remote = await storage.remoteImage(vm, record.generation)
      return await agent.run({ step: 'commit', ...place, generation: next, base, remote, target, bytesPerSec }, hooks)
    } catch (error) {
      await storage.closeTarget(vm)
      await storage.rollBack(vm, record.generation)
      await storage.setVmRecord(vm, settled)
      throw error
    }
  }
}

/** A commit of many that was interrupted is called again for all: those that were done with are no failures. */
async function committedBefore({ agent, place, record, hooks }: CommitRequest): Promise<CommitResult> {
  const { generation } = record
  if (generation > 0) {
    // The deployer may have died before it told the host.
    await agent.run({ step: 'committed', ...place, generation }, hooks)
    const { isCommitted = true } = await agent.run({ step: 'status', ...place }, hooks)
    if (isCommitted) return { by: 'bitmap', committedBytes: 0, copyMs: 0, verifyMs: 0, generation, snapshotMs: 0 }
  }
  const text = 'it has not run since it was created or committed; if it has, boot it first'
  throw new SkilfishError('VM_STATE', `cannot commit ${place.vm}: ${text}`)
}
