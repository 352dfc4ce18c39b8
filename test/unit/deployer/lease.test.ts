import { hostname } from 'node:os'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  acquireLease as acquire,
  LEASE_MS,
  type LeasePlace,
  type LeaseRecord,
} from '../../../src/deployer/storage/lease.ts'
import type { Lease } from '../../../src/deployer/storage/storage.ts'
import { expectFailure } from '../io/expect-failure.ts'

/** A place in memory, with the failures of a storage. */
class Place implements LeasePlace {
  record: LeaseRecord | undefined
  isHanging = false

  take(record: LeaseRecord): Promise<boolean> {
    if (this.record !== undefined) return Promise.resolve(false)
    this.record = record
    return Promise.resolve(true)
  }

  async read(): Promise<LeaseRecord | undefined> {
    await this.#answer()
    return this.record
  }

  async renew(record: LeaseRecord): Promise<void> {
    await this.#answer()
    this.record = record
  }

  async drop(owner: string): Promise<void> {
    await this.#answer()
    if (this.record?.owner === owner) this.record = undefined
  }

  async #answer(): Promise<void> {
    if (this.isHanging) await new Promise(() => undefined)
  }
}

/** An owner that this host can have had, and has no more: no process has so high an id. */
const DEAD = `${hostname()}-${2 ** 22 + 1}-0a1b2c3d`

const waits: string[] = []
const acquireLease = (cluster: string, place: LeasePlace, signal = new AbortController().signal): Promise<Lease> =>
  acquire(cluster, place, { signal, onWait: (text) => waits.push(text) })

beforeEach(() => void (waits.length = 0))
beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('the lease of a cluster', () => {
  it('is had by one at a time', async () => {
    const place = new Place()
    const lease = await acquireLease('c', place)
    await expectFailure(acquireLease('c', place), 'CLUSTER_BUSY', 'cannot work at c', 'within 60 s')
    await lease.release()
    await (await acquireLease('c', place)).release()
    expect(place.record).toBeUndefined()
  })

  it('is had as long as its holder lives', async () => {
    const place = new Place()
    const lease = await acquireLease('c', place)
    await vi.advanceTimersByTimeAsync(10 * LEASE_MS)
    await expectFailure(acquireLease('c', place), 'CLUSTER_BUSY')
    expect(lease.lost.aborted).toBe(false)
    await lease.release()
  })

  it('of one that died ends by itself', async () => {
    const place = new Place()
    place.record = { owner: 'dead', expiresMs: Date.now() + LEASE_MS }
    await expectFailure(acquireLease('c', place), 'CLUSTER_BUSY', 'dead does')
    await vi.advanceTimersByTimeAsync(LEASE_MS)
    const lease = await acquireLease('c', place)
    expect(place.record.owner).not.toBe('dead')
    await lease.release()
  })

  it('of one that died on this host is waited for until it ends, not taken before', async () => {
    const place = new Place()
    place.record = { owner: DEAD, expiresMs: Date.now() + 40_000 }
    const lease = acquireLease('c', place)
    await vi.advanceTimersByTimeAsync(39_000)
    expect(place.record.owner).toBe(DEAD)
    expect(waits).toEqual([expect.stringMatching(/ended without giving the cluster back.*; going on in 40 s$/)])
    await vi.advanceTimersByTimeAsync(1000)
    await (await lease).release()
    expect(place.record).toBeUndefined()
  })

  it('is not taken from a living holder that only seemed to have died', async () => {
    const place = new Place()
    place.record = { owner: DEAD, expiresMs: Date.now() + 40_000 }
    const lease = expectFailure(acquireLease('c', place), 'CLUSTER_BUSY', 'cannot work at c')
    await vi.advanceTimersByTimeAsync(10_000)
    // Another host has the same name.
    place.record = { owner: DEAD, expiresMs: Date.now() + LEASE_MS }
    await vi.advanceTimersByTimeAsync(30_000)
    await lease
    expect(place.record.owner).toBe(DEAD)
  })

  it('of one that lives, or of another host, is not waited for', async () => {
    const place = new Place()
    for (const owner of [`${hostname()}-${process.pid}-0a1b2c3d`, `other${DEAD}`, 'odd']) {
      place.record = { owner, expiresMs: Date.now() + LEASE_MS }
      await expectFailure(acquireLease('c', place), 'CLUSTER_BUSY', 'within 60 s')
    }
    expect(waits).toEqual([])
  })

  it('is waited for no longer than whoever waits wants to', async () => {
    const place = new Place()
    place.record = { owner: DEAD, expiresMs: Date.now() + LEASE_MS }
    const stop = new AbortController()
    const lease = acquireLease('c', place, stop.signal)
    await vi.advanceTimersByTimeAsync(1000)
    stop.abort(new Error('enough'))
    await expect(lease).rejects.toThrow('enough')
    expect(place.record.owner).toBe(DEAD)
  })

  it('is told to be lost when the storage hung for too long, and another took it', async () => {
    const place = new Place()
    const lease = await acquireLease('c', place)
    place.record = { owner: 'other', expiresMs: Date.now() + LEASE_MS }
    await vi.advanceTimersByTimeAsync(LEASE_MS)
    expect(lease.lost.aborted).toBe(true)
    expect((lease.lost.reason as Error).message).toContain('cannot go on with c: the lease was lost')
    await lease.release()
    expect(place.record.owner).toBe('other')
  })

  it('is lost by its own clock when the storage hangs, before anybody else may take it', async () => {
    const place = new Place()
    const lease = await acquireLease('c', place)
    place.isHanging = true
    await vi.advanceTimersByTimeAsync(LEASE_MS - 5000)
    expect(() => lease.check()).toThrow('the lease was lost; it was not renewed for 5')
    expect(lease.lost.aborted).toBe(true)
  })

  it('is lost at once when the machine has slept for as long', async () => {
    const place = new Place()
    const lease = await acquireLease('c', place)
    expect(() => lease.check()).not.toThrow()
    // Timers and the other clock have stood still.
    vi.setSystemTime(Date.now() + LEASE_MS)
    expect(() => lease.check()).toThrow('the lease was lost')
    await expectFailure(lease.confirm(), 'CLUSTER_BUSY', 'the lease was lost')
  })

  it('is lost when the storage says so, whatever the clocks', async () => {
    const place = new Place()
    const lease = await acquireLease('c', place)
    await lease.confirm()
    place.record = { owner: 'other', expiresMs: Date.now() + LEASE_MS }
    expect(() => lease.check()).not.toThrow()
    await expectFailure(lease.confirm(), 'CLUSTER_BUSY', 'other has it now')
    expect(lease.lost.aborted).toBe(true)
  })

  it('is given up when a storage that hangs does not take it back', async () => {
    const place = new Place()
    const lease = await acquireLease('c', place)
    place.isHanging = true
    const released = lease.release()
    await vi.advanceTimersByTimeAsync(LEASE_MS)
    await released
    expect(place.record).toBeDefined()
  })
})
