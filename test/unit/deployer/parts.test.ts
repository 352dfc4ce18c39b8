import { expect, it } from 'vitest'
import type { Part } from '../../../src/deployer/deployer-events.ts'
import { SkilfishError } from '../../../src/errors.ts'
import { ClusterFailedError, inTurn } from '../../../src/deployer/parts.ts'

const VMS = ['a', 'b', 'c'].map((name) => ({ name, host: `host-${name}` }))

/** An operation that fails for those named, which may be hosts. */
const operation =
  (calls: (readonly string[])[], ...failing: readonly string[]) =>
  async ({ vms }: { readonly vms: readonly string[] }): Promise<readonly Part<unknown>[]> => {
    calls.push(vms)
    const error = { code: 'HOST_FAILED', message: 'lost' }
    const parts = [...vms, ...failing.filter((name) => name.startsWith('host-'))].map((name) => {
      const host = name.startsWith('host-') ? name : `host-${name}`
      const isHost = name === host ? { isHost: true as const } : {}
      return { name, host, ...isHost, elapsedMs: 1, ...(failing.includes(name) ? { error } : { result: {} }) }
    })
    await Promise.resolve()
    if (failing.length > 0) throw new ClusterFailedError('boot', parts)
    return parts
  }

it('one operation follows another, each for the machines that did not fail before', async () => {
  const calls: (readonly string[])[] = []
  const work = inTurn(VMS, [operation(calls, 'a'), operation(calls, 'host-b'), operation(calls)])
  await expect(work).rejects.toMatchObject({
    code: 'CLUSTER_FAILED',
    message: 'cannot bring up 2 of 3:\n  a: lost\n  b: lost',
    parts: [{ name: 'c', result: {} }, { name: 'a' }, { name: 'b' }],
  })
  expect(calls).toEqual([['a', 'b', 'c'], ['b', 'c'], ['c']])
})

it('none follows when no machine is left, nor after what is no failure of machines', async () => {
  const calls: (readonly string[])[] = []
  await expect(inTurn(VMS, [operation(calls, 'a', 'b', 'c'), operation(calls)])).rejects.toThrow(
    'cannot bring up 3 of 3',
  )
  expect(calls).toHaveLength(1)
  const busy = (): Promise<never> => Promise.reject(new SkilfishError('CLUSTER_BUSY', 'taken'))
  await expect(inTurn(VMS, [operation(calls, 'a'), busy])).rejects.toMatchObject({
    message: 'cannot bring up 3 of 3:\n  a: lost\n  b: taken\n  c: taken',
  })
  calls.length = 1
  const interrupted = (): Promise<never> => Promise.reject(new Error('enough'))
  await expect(inTurn(VMS, [interrupted, operation(calls)])).rejects.toThrow('enough')
  expect(calls).toHaveLength(1)
})
