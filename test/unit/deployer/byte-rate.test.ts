import { expect, it } from 'vitest'
import { ByteRate } from '../../../src/deployer/host/byte-rate.ts'

it('tells what was copied, not what waits, and waits no longer than it is wanted', async () => {
  const rate = new ByteRate(1)
  const wanted = new AbortController()
  await rate.take(1_000_000, wanted.signal)
  const waiting = rate.take(1_000_000, wanted.signal)
  rate.done(1_000_000)
  expect(rate.totalBytes).toBe(1_000_000)
  wanted.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  await expect(rate.take(1, wanted.signal)).rejects.toThrow('enough')
})

it('catches up with one second at most after a standstill', async () => {
  let nowMs = 0
  const rate = new ByteRate(1000, () => nowMs)
  /** Takes half a second's worth as often as that need not wait. */
  const takenAtOnce = async (): Promise<number> => {
    for (let count = 0; ; count++) {
      const enough = new AbortController()
      const taken = rate.take(500, enough.signal).then(
        () => true,
        () => false,
      )
      setImmediate(() => enough.abort())
      if (!(await taken)) return count
    }
  }
  expect(await takenAtOnce()).toBe(1)
  nowMs = 60_000
  expect(await takenAtOnce()).toBe(3)
})
