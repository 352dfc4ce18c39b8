import { join } from 'node:path'
import { QmpClient, startBlockStream, waitForBlockJob } from '../../src/qmp/index.ts'
import { CephClusterStorage } from '../../test/lab/cluster-storage.ts'
import { TestCluster } from '../../test/lab/test-cluster.ts'
import { shown } from '../figures.ts'
import { spreadOf } from '../peers/statistics.ts'
import { judge } from '../peers/verdict.ts'
import { forgetBases, MIB, removeMachines, type Finding, type Study, type StudyOptions } from './study.ts'

const HOST_COUNTS = [1, 2, 4] as const
const JOB = 'pull'
const TIMEOUT_MS = 600_000

/** What bringing the template to some hosts took. */
interface Pull {
  readonly hostCount: number
  readonly readBytes: number
  readonly seconds: number
}

async function measure(
  cluster: TestCluster,
  hostCount: number,
  pull: (vms: readonly string[]) => Promise<unknown>,
): Promise<Pull> {
  const { storage } = cluster
  if (!(storage instanceof CephClusterStorage)) throw new TypeError('the storage must be Ceph')
  const { ceph } = storage
  const before = ceph.readBytes()
  const startedMs = performance.now()
  await pull(cluster.vms.slice(0, hostCount))
  return { hostCount, readBytes: ceph.readBytes() - before, seconds: (performance.now() - startedMs) / 1000 }
}

/** QEMU's own way: each machine copies what is behind its overlay into it. */
async function streamBlocks(path: string): Promise<void> {
  const qmp = await QmpClient.connect(path)
  try {
    const done = waitForBlockJob(qmp, JOB, TIMEOUT_MS)
    await startBlockStream(qmp, { 'job-id': JOB, device: 'overlay' })
    const failure = await done
    if (failure !== undefined) throw new Error(`block-stream: ${failure}`)
  } finally {
    qmp.close()
  }
}

async function run({ rounds, mib, say }: StudyOptions): Promise<Finding> {
  const fetches: Pull[] = []
  const streams: Pull[] = []
  const hostCount = Math.max(...HOST_COUNTS)
  await TestCluster.with({ storage: 'rbd', hostCount, sizeBytes: mib * MIB }, async (cluster) => {
    for (let round = 1; round <= rounds; round++) {
      for (const count of HOST_COUNTS) {
        // With the template on their hosts machines would boot over that.
        forgetBases(cluster)
        await cluster.done('create')
        await cluster.done('boot')
        for (const vm of cluster.vms) (await cluster.guest(vm)).close()
        fetches.push(await measure(cluster, count, (vms) => cluster.done('fetch', '--vms', vms.join(','))))
        const stream = (vms: readonly string[]): Promise<unknown> =>
          Promise.all(vms.map((vm) => streamBlocks(join(cluster.vmFolder(vm), 'qmp.sock'))))
        streams.push(await measure(cluster, count, stream))
        const [fetched, streamed] = [fetches.at(-1)!, streams.at(-1)!]
        say(`round ${round}: ${count} hosts: fetch read ${show(fetched)}, block-stream ${show(streamed)}`)
        await removeMachines(cluster)
      }
    }
  })
  const rows = HOST_COUNTS.map((count) => {
    const cells = [fetches, streams].flatMap((pulls) => {
      const own = pulls.filter(({ hostCount: hosts }) => hosts === count)
      const read = shown(spreadOf(own.map(({ readBytes }) => readBytes / MIB)), (value) => value.toFixed(1))
      return [read, shown(spreadOf(own.map(({ seconds }) => seconds)), (value) => value.toFixed(1))]
    })
    return [String(count), ...cells]
  })
  const all = fetches.map(({ readBytes }) => readBytes)
  const spread = 100 * (Math.max(...all) / Math.min(...all) - 1)
  return {
    heading: 'Bytes read from the storage',
    method:
      `A template of ${mib} MiB, three quarters of it data, brought to hosts over Ceph: by \`skilfish fetch\`, and by QEMU's own ` +
      '`block-stream` of each machine, all at once. Bytes are those that the OSD has given to clients, from its own counter; guests do nothing.',
    rows: [['Hosts', 'fetch: read, MiB', 'fetch: s', 'block-stream: read, MiB', 'block-stream: s'], ...rows],
    verdicts: [judge('bytes read for a fetch: the most over the least, beyond 1', spread, '%', { atMost: 2 })],
    figures: { fetches, streams },
  }
}

const show = ({ readBytes, seconds }: Pull): string => `${(readBytes / MIB).toFixed(1)} MiB in ${seconds.toFixed(1)} s`

export const storageReads: Study = { name: 'reads', text: 'what is read from the storage for 1, 2 and 4 hosts', run }
