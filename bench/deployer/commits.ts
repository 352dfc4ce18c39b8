import { join } from 'node:path'
import { TestCluster } from '../../test/lab/test-cluster.ts'
import { writeScattered } from '../commit/scattered-writes.ts'
import { shown } from '../figures.ts'
import { spreadOf } from '../peers/statistics.ts'
import { judge } from '../peers/verdict.ts'
import { MIB, removeMachines, type Finding, type Study, type StudyOptions } from './study.ts'

const VM_COUNT = 4

/** As in `bench:commit`. */
const DISK_MIB = 2048
const OVERLAY_MIB = 512

/** What committing all machines took, seconds. */
interface Commits {
  readonly inTurnSeconds: number
  readonly togetherSeconds: number
}

/** First commits of new machines on as many hosts, by one command or by one for each. */
async function measure(cluster: TestCluster, isTogether: boolean, round: number): Promise<number> {
  await cluster.done('create')
  await cluster.done('boot')
  await Promise.all(cluster.vms.map(async (vm) => (await cluster.guest(vm)).close()))
  await cluster.done('shutdown', '--timeout', '1')
  for (const [index, vm] of cluster.vms.entries()) {
    const seed = round * VM_COUNT + index
    writeScattered(join(cluster.vmFolder(vm), 'overlay.qcow2'), { diskMib: DISK_MIB, overlayMib: OVERLAY_MIB, seed })
  }
  const startedMs = performance.now()
  if (isTogether) await cluster.done('commit')
  else for (const vm of cluster.vms) await cluster.done('commit', '--vms', vm)
  const seconds = (performance.now() - startedMs) / 1000
  await removeMachines(cluster)
  return seconds
}

async function run({ rounds, say }: StudyOptions): Promise<Finding> {
  const all: Commits[] = []
  const options = { storage: 'rbd', hostCount: VM_COUNT, sizeBytes: DISK_MIB * MIB } as const
  await TestCluster.with(options, async (cluster) => {
    for (let round = 1; round <= rounds; round++) {
      const isTogetherFirst = round % 2 === 0
      const first = await measure(cluster, isTogetherFirst, round)
      const second = await measure(cluster, !isTogetherFirst, round)
      const [togetherSeconds, inTurnSeconds] = isTogetherFirst ? [first, second] : [second, first]
      all.push({ inTurnSeconds, togetherSeconds })
      say(
        `round ${round}: ${VM_COUNT} commits in turn ${seconds(inTurnSeconds)} s, together ${seconds(togetherSeconds)} s`,
      )
    }
  })
  const spread = (pick: (commits: Commits) => number): string => shown(spreadOf(all.map(pick)), seconds)
  const ratio = spreadOf(all.map(({ inTurnSeconds, togetherSeconds }) => inTurnSeconds / togetherSeconds))
  return {
    heading: 'Commits of several machines',
    method:
      `\`skilfish commit\` of ${VM_COUNT} new machines on as many hosts, over Ceph: one command for each in turn, and one for all. Each has ${OVERLAY_MIB} MiB ` +
      `in pieces of 256 KiB anywhere on a disk of ${DISK_MIB / 1024} GiB; in the time are the snapshot and the reading back. All hosts and the storage share ` +
      'two processors.',
    rows: [
      ['How', 'All, s'],
      ['one command for each', spread(({ inTurnSeconds }) => inTurnSeconds)],
      ['one command for all', spread(({ togetherSeconds }) => togetherSeconds)],
    ],
    verdicts: [judge(`${VM_COUNT} commits: time in turn / time together`, ratio.median, '×', { atLeast: 1 })],
    figures: { commits: all },
  }
}

const seconds = (value: number): string => value.toFixed(2)

export const commits: Study = { name: 'commits', text: 'commits of four machines in turn and together', run }
