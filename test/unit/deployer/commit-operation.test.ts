import { describe, expect, it } from 'vitest'
import { commitVm, type CommitRequest } from '../../../src/deployer/commit-operation.ts'
import type { HostAgent } from '../../../src/deployer/host-agent.ts'
import { leasedStorage, type Storage, type VmRecord } from '../../../src/deployer/storage/index.ts'
import { SkilfishError } from '../../../src/errors.ts'
import { expectFailure } from '../io/expect-failure.ts'

const RECORD: VmRecord = { id: '1', cluster: 'c', template: 't', generation: 0, host: 'h' }
const LOST = new SkilfishError('CLUSTER_BUSY', 'cannot go on with c: the lease was lost')

/** A storage that notes what is done to it, and a lease that can be lost. */
class Field {
  readonly calls: string[] = []
  readonly steps: string[] = []
  record: VmRecord = RECORD
  isLost = false
  isFull = false
  state = 'down'
  onCommit = (): void => undefined

  run(): ReturnType<typeof commitVm> {
    const note = (call: string): Promise<void> => {
      this.calls.push(call)
      return this.isFull && call === 'rollBack'
        ? Promise.reject(new SkilfishError('STORAGE_FAILED', 'full'))
        : Promise.resolve()
    }
    const node = { driver: 'file', filename: '/x' } as const
    const storage = {
      openTarget: () => note('openTarget').then(() => node),
      remoteImage: () => Promise.resolve(node),
      closeTarget: () => note('closeTarget'),
      rollBack: () => note('rollBack'),
      snapshot: () => note('snapshot'),
      prune: () => note('prune'),
      setVmRecord: (_: string, record: VmRecord) => {
        this.record = record
        return note('setVmRecord')
      },
    } as unknown as Storage
    const check = (): void => {
      if (this.isLost) throw LOST
    }
    const confirm = (): Promise<void> => Promise.resolve().then(check)
    const lease = { lost: new AbortController().signal, check, confirm, release: () => Promise.resolve() }
    const agent = {
      run: ({ step }: { step: string }) => {
        this.steps.push(step)
        if (step === 'commit') this.onCommit()
        return Promise.resolve(step === 'status' ? { state: this.state } : { by: 'bitmap', committedBytes: 1 })
      },
    } as unknown as HostAgent
    const request: CommitRequest = {
      ...{ storage: leasedStorage(storage, lease), agent, record: this.record, bytesPerSec: 0 },
      place: { folder: '/f', cluster: 'c', vm: 'a' },
      base: { key: 'k', identity: 't', sizeBytes: 1 },
      hooks: { signal: new AbortController().signal, onProgress: () => undefined },
    }
    return commitVm(request)
  }
}

describe('a commit', () => {
  it('names what was begun before it touches the image, and is a new generation at the end', async () => {
    const field = new Field()
    await field.run()
    expect(field.calls).toEqual(['setVmRecord', 'openTarget', 'snapshot', 'setVmRecord', 'prune'])
    expect(field.record).toEqual({ id: '1', cluster: 'c', template: 't', generation: 1 })
  })

  it('of a machine that runs is refused before anything changes', async () => {
    const field = new Field()
    field.state = 'running'
    await expectFailure(field.run(), 'VM_STATE', 'cannot commit a: it runs')
    expect([field.calls, field.steps]).toEqual([[], ['status']])
  })

  it('that fails is rolled back', async () => {
    const field = new Field()
    field.onCommit = () => {
      throw new SkilfishError('COMMIT_FAILED', 'cannot commit a: wrong')
    }
    await expectFailure(field.run(), 'COMMIT_FAILED', 'wrong')
    expect(field.calls.slice(2)).toEqual(['closeTarget', 'rollBack', 'setVmRecord'])
    expect(field.record).toEqual(RECORD)
  })

  it('that fails and cannot be rolled back tells both, and leaves word of it', async () => {
    const field = new Field()
    field.isFull = true
    field.onCommit = () => {
      throw new SkilfishError('COMMIT_FAILED', 'cannot commit a: wrong')
    }
    await expectFailure(field.run(), 'COMMIT_FAILED', 'wrong; nor can its image be rolled back now (full)')
    expect(field.record).toEqual({ ...RECORD, committing: 1 })
  })

  it('whose lease is lost touches nothing any more', async () => {
    const field = new Field()
    field.onCommit = () => {
      field.isLost = true
      throw LOST
    }
    await expectFailure(field.run(), 'CLUSTER_BUSY', 'the lease was lost')
    expect(field.calls).toEqual(['setVmRecord', 'openTarget'])
  })

  it('whose lease is lost as it ends does not count', async () => {
    const field = new Field()
    field.onCommit = () => void (field.isLost = true)
    await expectFailure(field.run(), 'CLUSTER_BUSY', 'the lease was lost')
    expect(field.record).toEqual({ ...RECORD, committing: 1 })
  })
})
