import { readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { guestFiles, verifyGuestDisk } from '../lab/guest.ts'
import { TestCluster } from '../lab/test-cluster.ts'

/** Room for all that the tests write, and no more: emulated guests take their time to check it. */
const SIZE_BYTES = 32 * 1024 * 1024

beforeAll(() => void guestFiles())

describe.each(['file', 'rbd'] as const)('storage: %s', (storage) => {
  it('switches four running machines, which go on when the storage is destroyed', { timeout: 300_000 }, () =>
    TestCluster.with({ storage, hostCount: 4, sizeBytes: SIZE_BYTES }, async (cluster) => {
      // Nobody but a host can send then: this machine has no such interface.
      if (storage === 'rbd') cluster.place(0, { transfer: { interface: 'nowhere0', sender: 'host1' } })
      await cluster.done('create')
      await cluster.done('boot')
      const guests = await Promise.all(cluster.vms.map((vm) => cluster.guest(vm)))
      const runs = guests.map((guest) => guest.run({ opsPerSec: 200 }))
      await cluster.done('fetch')
      const { results } = await cluster.done('switch')
      expect(results).toHaveLength(4)
      for (const { result } of results) {
        expect(result).toMatchObject({ wasLocal: false, wasYanked: false, connectionsAfter: 0 })
        expect((result as { connectionsBefore: number }).connectionsBefore).toBeGreaterThan(0)
      }
      await cluster.storage.down()
      // Twenty reports are twenty seconds of work without the storage.
      const alone = guests.map((guest) => {
        const end = guest.reports.length + 20
        return guest.nextReport(() => guest.reports.length >= end, 60_000)
      })
      await Promise.all(alone)
      for (const guest of guests) guest.stop()
      for (const run of runs) expect(await run).toMatchObject({ bad: 0, errors: 0 })
      const verified = await Promise.all(guests.map((guest) => guest.verify()))
      for (const result of verified) expect(result).toMatchObject({ bad: 0, errors: 0 })
    }),
  )

  it('commits, boots on other hosts, and fetches only what is new', { timeout: 300_000 }, () =>
    TestCluster.with({ storage, hostCount: 2, sizeBytes: SIZE_BYTES }, async (cluster) => {
      const up = cluster.start('up')
      await up.said('"operation":"fetch"')
      // What it does from then on is in no hurry; the machines that it has started are.
      expect(getPriority(up.process.pid)).toBe(10)
      for (const vm of cluster.vms) {
        const pid = Number(readFileSync(join(cluster.vmFolder(vm), 'qemu.pid'), 'utf8'))
        expect(getPriority(pid)).toBe(getPriority())
      }
      expect(await up.result).toMatchObject({ status: 0 })
      const digests = new Map<string, string>()
      for (const [index, vm] of cluster.vms.entries()) {
        const guest = await cluster.guest(vm)
        await guest.write(1000 * index, 512, 7 + index)
        digests.set(vm, (await guest.verify()).digest)
        guest.close()
      }
      await cluster.done('shutdown')
      const first = await cluster.done('commit')
      for (const { result } of first.results) {
        const { by, committedBytes, generation } = result as Record<string, unknown>
        expect([by, generation]).toEqual(['bitmap', 1])
        expect(committedBytes).toBeGreaterThanOrEqual(512 * 4096)
        expect(committedBytes).toBeLessThan(8 * 1024 * 1024)
      }
      for (const vm of cluster.vms) expect(verifyGuestDisk(cluster.copyOfImage(vm)).digest).toBe(digests.get(vm))

      cluster.place(1)
      await cluster.done('boot')
      for (const [index, vm] of cluster.vms.entries()) {
        const guest = await cluster.guest(vm, index + 1)
        expect(await guest.check(1000 * index, 512, 7 + index)).toMatchObject({ bad: 0, errors: 0 })
        expect((await guest.verify()).digest).toBe(digests.get(vm))
        guest.close()
      }
      const fetched = await cluster.done('fetch')
      expect(fetched.output).toContain('"multicastBytes":0')
      await cluster.done('switch')
      const guest = await cluster.guest('vm1', 1)
      expect((await guest.verify()).digest).toBe(digests.get('vm1'))
      await guest.write(4992, 16, 99)
      guest.close()
      await cluster.done('shutdown')
      const second = await cluster.done('commit')
      expect(second.results[0]!['result']).toMatchObject({ by: 'bitmap', generation: 2, committedBytes: 65536 })

      await cluster.done('boot')
      const third = await cluster.guest('vm1', 1)
      expect(await third.check(4992, 16, 99)).toMatchObject({ bad: 0, errors: 0 })
      await third.write(0, 1, 100)
      third.close()
      await cluster.done('shutdown')
      await cluster.done('commit')
      // Of the first nothing is needed any more; what machines alone have is told from generation 0.
      expect(cluster.storage.generationsOf('vm1')).toEqual([0, 2, 3])

      cluster.storage.deleteImage('vm2')
      const told = await cluster.run('boot', '--vms', 'vm2')
      expect([told.status, told.message]).toEqual([4, expect.stringContaining('vm2: it has no image in the storage')])
      await cluster.done('create')
      const older = await cluster.run('boot', '--vms', 'vm2')
      expect(older.message).toContain('were made over an image that is not in the storage any more')
      await cluster.done('destroy', '--discard')
      expect((await cluster.done('status')).results.map(({ record }) => record)).toEqual([undefined, undefined])
    }),
  )
})
