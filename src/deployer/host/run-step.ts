import { SkilfishError } from '../../errors.ts'
import { systemReason } from '../../io/index.ts'
import type { StepHooks, StepRequest, StepResults } from '../host-protocol.ts'
import { evictBases, findBase } from './base-cache.ts'
import { boot } from './boot.ts'
import { commit, markCommitted } from './commit.ts'
import { HostFolder } from './host-folder.ts'
import { removeVm, shutDown, status } from './lifecycle.ts'
import { switchBase } from './switch.ts'
import { fetchUnique } from './unique-part.ts'

/**
 * Does one step on this host. Each can be asked again after any interruption.
 * @throws SkilfishError of many codes; the host is in a state that the same step, asked again, goes on from
 */
export async function runStep(request: StepRequest, hooks: StepHooks): Promise<StepResults[StepRequest['step']]> {
  try {
    return await perform(request, hooks)
  } catch (error) {
    // What the system refuses (a full disk, a folder of another user) is the host's fault, not that of this program.
    if (!(error instanceof Error && 'syscall' in error)) throw error
    const place = 'path' in error && typeof error.path === 'string' ? ` at ${error.path}` : ''
    const text = `cannot do the step ${request.step}: ${systemReason(error)}${place}`
    throw new SkilfishError('HOST_FAILED', text, { cause: error })
  }
}

async function perform(request: StepRequest, hooks: StepHooks): Promise<StepResults[StepRequest['step']]> {
  switch (request.step) {
    case 'boot':
      return boot(request)
    case 'find-base':
      return findBase(new HostFolder(request.folder), request.base)
    case 'receive': {
      // The receiver is half of this program, and no other step needs it.
      const { receiveBase } = await import('./receive-base.ts')
      return receiveBase(request, hooks)
    }
    case 'send': {
      const { sendBase } = await import('./send-base.ts')
      return sendBase(request, hooks)
    }
    case 'fetch-unique':
      return fetchUnique(request, hooks)
    case 'switch':
      return switchBase(request)
    case 'status':
      return status(request)
    case 'shutdown':
      return shutDown(request, hooks.signal)
    case 'commit':
      return commit(request, hooks)
    case 'committed':
      await markCommitted(request)
      return {}
    case 'remove':
      await removeVm(request)
      return {}
    case 'evict':
      return evictBases(new HostFolder(request.folder), request.keepBytes, request.usedKeys)
  }
}
