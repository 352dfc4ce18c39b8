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
  const { committing, ...settled } = record
  // Asked before anything changes: a machine that runs may read what a commit takes away.
  const { state } = await agent.run({ step: 'status', ...place }, hooks)
  if (state !== 'down') throw new SkilfishError('VM_STATE', `cannot commit ${vm}: it runs; shut it down first`)
  if (committing !== undefined) await storage.rollBack(vm, record.generation)
  const generation = record.generation + 1
  await storage.setVmRecord(vm, { ...settled, committing: generation })
  const report = await write(generation)
  const startedMs = performance.now()
  await storage.snapshot(vm, generation)
  const { id, cluster, template } = record
  await storage.setVmRecord(vm, { id, cluster, template, generation })
  await agent.run({ step: 'committed', ...place, image: record.id, generation }, hooks)
  // The commit counts. What is left now goes with the next one.
  await storage.prune(vm, generation).catch(() => undefined)
  return { ...report, generation, snapshotMs: performance.now() - startedMs }

  async function write(next: number): Promise<Omit<CommitResult, 'generation' | 'snapshotMs'>> {
    try {
      const target = await storage.openTarget(vm)
      // What is not in the overlay is read from here, if anything: the generation before, or as much of the image as is not yet written.
      const remote = await storage.remoteImage(vm, record.generation)
      const { id: image } = record
      return await agent.run(
        { step: 'commit', ...place, image, generation: next, base, remote, target, bytesPerSec },
        hooks,
      )
    } catch (error) {
      await undo().catch((cause: unknown) => {
        throw alsoNotUndone(error, cause)
      })
      throw error
    }
  }

  async function undo(): Promise<void> {
    await storage.closeTarget(vm)
    await storage.rollBack(vm, record.generation)
    await storage.setVmRecord(vm, settled)
  }
}

/** The first failure is the one to mend. The record tells whoever comes next that the image is to be rolled back. */
function alsoNotUndone(error: unknown, cause: unknown): unknown {
  if (!(error instanceof SkilfishError && cause instanceof SkilfishError) || error.code === cause.code) return error
  const text = `${error.message}; nor can its image be rolled back now (${cause.message}): the next commit does that first`
  return new SkilfishError(error.code, text, { cause: error })
}

/** A commit of many that was interrupted is called again for all: those that were done with are no failures. */
async function committedBefore({ agent, place, record, hooks }: CommitRequest): Promise<CommitResult> {
  const { generation } = record
  if (generation > 0) {
    // The deployer may have died before it told the host.
    await agent.run({ step: 'committed', ...place, image: record.id, generation }, hooks)
    const { isCommitted = true } = await agent.run({ step: 'status', ...place }, hooks)
    if (isCommitted) return { by: 'bitmap', committedBytes: 0, copyMs: 0, verifyMs: 0, generation, snapshotMs: 0 }
  }
  const text = 'it has not run since it was created or committed; if it has, boot it first'
  throw new SkilfishError('VM_STATE', `cannot commit ${place.vm}: ${text}`)
}
