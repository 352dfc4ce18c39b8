import { expect, it } from 'vitest'
import { verifyGuestDisk } from '../lab/guest.ts'
import { TestCluster } from '../lab/test-cluster.ts'

const SIZE_BYTES = 16 * 1024 * 1024

it.each([
  ['ssh', 'file'],
  ['srun', 'rbd'],
] as const)(
  'a whole cluster over %s, from create to commit, with storage of kind %s',
  { timeout: 300_000 },
  (executor, storage) =>
    TestCluster.with({ storage, executor, hostCount: 2, sizeBytes: SIZE_BYTES }, async (cluster) => {
      await cluster.done('create')
      const booted = await cluster.done('boot')
      expect(booted.results.map(({ host }) => host)).toEqual(['host1', 'host2'])
      const guests = await Promise.all(cluster.vms.map((vm) => cluster.guest(vm)))
      const runs = guests.map((guest) => guest.run({ opsPerSec: 100 }))
      await Promise.all(guests.map((guest) => guest.nextReport(({ reads }) => reads > 0)))
      await cluster.done('fetch')
      const switched = await cluster.done('switch')
      for (const { result } of switched.results) expect(result).toMatchObject({ wasLocal: false, connectionsAfter: 0 })
      for (const guest of guests) guest.stop()
      for (const run of runs) expect(await run).toMatchObject({ bad: 0, errors: 0 })
      const digests = await Promise.all(guests.map(async (guest) => (await guest.verify()).digest))
      const down = await cluster.done('shutdown')
      for (const { result } of down.results) expect(result).toEqual({ how: 'powered-down' })
      await cluster.done('commit')
      const images = cluster.vms.map((vm) => verifyGuestDisk(cluster.copyOfImage(vm)).digest)
      expect(images).toEqual(digests)
      await cluster.done('destroy')
    }),
)
