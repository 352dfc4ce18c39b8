import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { SkilfishError } from '../../errors.ts'
import type { Lease, LeaseWait } from './storage.ts'

/** How long a lease holds that nobody renews, and how often it is renewed, milliseconds. */
export const LEASE_MS = 60_000
const RENEWAL_MS = 15_000

/** It is taken for lost by its holder so long before others take it for ended, milliseconds: what is under way then needs time to stop. */
const LOSS_MARGIN_MS = 10_000

/** How often its holder looks whether it still holds, milliseconds. */
const LOOK_MS = 1000

/** How long it may take to give a lease back, milliseconds: one that cannot be ends by itself. */
const RELEASE_MS = 20_000

/** Who holds a cluster, and until when, by the clock of the holder: clocks of deployers must agree to some seconds. */
export interface LeaseRecord {
  readonly owner: string
  readonly expiresMs: number
}

/** Where a lease is kept. Of two that take it at once, one gets it. */
export interface LeasePlace {
  /** @returns false when there is one */
  take(record: LeaseRecord): Promise<boolean>
  /** The present one. */
  read(): Promise<LeaseRecord | undefined>
  /** Writes a new time. Whoever calls it has seen that the lease is still its own. */
  renew(record: LeaseRecord): Promise<void>
  /** Takes away the one of that owner. */
  drop(owner: string): Promise<void>
}

/** @throws SkilfishError CLUSTER_BUSY; what the signal of `wait` says */
export async function acquireLease(cluster: string, place: LeasePlace, wait: LeaseWait): Promise<Lease> {
  const owner = `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`
  const record = (): LeaseRecord => ({ owner, expiresMs: Date.now() + LEASE_MS })
  let held = new Stopwatch()
  if (!(await place.take(record()))) {
    const holder = await endOfHolder(place, wait)
    const leftMs = (holder?.expiresMs ?? 0) - Date.now()
    if (holder !== undefined && leftMs <= 0) await place.drop(holder.owner)
    held = new Stopwatch()
    if (leftMs > 0 || !(await place.take(record()))) {
      const who = holder?.owner ?? 'another deployer'
      const until = leftMs > 0 ? `; it must renew its lease within ${Math.ceil(leftMs / 1000)} s` : ''
      throw new SkilfishError('CLUSTER_BUSY', `cannot work at ${cluster}: ${who} does${until}`)
    }
  }
  const lost = new AbortController()
  const lose = (text: string): void => {
    clearInterval(timer)
    clearInterval(look)
    lost.abort(new SkilfishError('CLUSTER_BUSY', `cannot go on with ${cluster}: the lease was lost; ${text}`))
  }
  const check = (): void => {
    const isOver = held.elapsedMs() > LEASE_MS - LOSS_MARGIN_MS
    if (isOver && !lost.signal.aborted) lose(`it was not renewed for ${Math.round(held.elapsedMs() / 1000)} s`)
    lost.signal.throwIfAborted()
  }
  const confirm = async (): Promise<void> => {
    check()
    const holder = await place.read()
    if (holder?.owner !== owner && !lost.signal.aborted) lose(`${holder?.owner ?? 'nobody'} has it now`)
    check()
  }
  const renew = async (): Promise<void> => {
    const renewed = new Stopwatch()
    await confirm()
    await place.renew(record())
    held = renewed
  }
  // A storage that hangs must not be asked again and again.
  let renewal: Promise<void> | undefined
  const timer = setInterval(() => {
    renewal ??= renew()
      .catch(() => undefined)
      .finally(() => (renewal = undefined))
  }, RENEWAL_MS)
  const look = setInterval(() => {
    try {
      check()
    } catch {
      // Whoever works under it is told by `lost`.
    }
  }, LOOK_MS)
  timer.unref()
  look.unref()
  return {
    lost: lost.signal,
    check,
    confirm,
    async release() {
      clearInterval(timer)
      clearInterval(look)
      const dropped = (renewal ?? Promise.resolve()).then(() => place.drop(owner)).catch(() => undefined)
      let patience: NodeJS.Timeout | undefined
      await Promise.race([dropped, new Promise((resolve) => (patience = setTimeout(resolve, RELEASE_MS)))])
      clearTimeout(patience)
    },
  }
}

/** Measures by two clocks, and goes by the later: one stands still while the machine sleeps, the other may be set back. */
class Stopwatch {
  readonly #startedMs = performance.now()
  readonly #startedWallMs = Date.now()

  elapsedMs(): number {
    return Math.max(performance.now() - this.#startedMs, Date.now() - this.#startedWallMs)
  }
}

/**
 * The present holder. One that has died on this host is waited for until its lease ends, and not only until it is gone: what it had hosts
 * do goes on until they notice.
 */
async function endOfHolder(place: LeasePlace, { signal, onWait }: LeaseWait): Promise<LeaseRecord | undefined> {
  const holder = await place.read()
  const leftMs = (holder?.expiresMs ?? 0) - Date.now()
  if (holder === undefined || leftMs <= 0 || !hasDied(holder.owner)) return holder
  const state = `${holder.owner} ended without giving the cluster back, and hosts may still do what it asked of them`
  onWait(`${state}; going on in ${Math.ceil(leftMs / 1000)} s`)
  // An abort of before is not heard below.
  signal.throwIfAborted()
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, leftMs)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
  signal.throwIfAborted()
  return place.read()
}

/** Whether an owner was a process of this host and is no more. Of another host of the same name the lease will have been renewed. */
function hasDied(owner: string): boolean {
  const [, host, pid] = /^(.*)-(\d+)-[^-]+$/.exec(owner) ?? []
  if (host !== hostname()) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
