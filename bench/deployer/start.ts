import { TestCluster } from '../../test/lab/test-cluster.ts'
import { shown } from '../figures.ts'
import { spreadOf } from '../peers/statistics.ts'
import { forgetBases, MIB, removeMachines, type Finding, type Study, type StudyOptions } from './study.ts'

const VM_COUNTS = [1, 2, 4] as const

interface Start {
  readonly vmCount: number
  /** From the beginning of `boot` to the answer of the last guest, and from the command to its end, seconds. */
  readonly usableSeconds: number
  readonly wholeSeconds: number
}

async function measure(cluster: TestCluster, vmCount: number): Promise<Start> {
  const vms = cluster.vms.slice(0, vmCount)
  forgetBases(cluster)
  const startedMs = performance.now()
  const up = cluster.start('up', '--vms', vms.join(','))
  await up.said(`boot ${vms[0]!}`)
  const bootMs = performance.now()
  await Promise.all(vms.map(async (vm) => (await cluster.guest(vm)).close()))
  const usableSeconds = (performance.now() - bootMs) / 1000
  await up.result
  if (up.process.exitCode !== 0) throw new Error(`skilfish up failed (${up.process.exitCode})`)
  const wholeSeconds = (performance.now() - startedMs) / 1000
  await removeMachines(cluster)
  return { vmCount, usableSeconds, wholeSeconds }
}

async function run({ rounds, mib, say }: StudyOptions): Promise<Finding> {
  const starts: Start[] = []
  const hostCount = Math.max(...VM_COUNTS)
  await TestCluster.with({ storage: 'rbd', hostCount, sizeBytes: mib * MIB }, async (cluster) => {
    for (let round = 1; round <= rounds; round++) {
      for (const vmCount of VM_COUNTS) {
        const start = await measure(cluster, vmCount)
        starts.push(start)
        say(
          `round ${round}: ${vmCount} machines: usable after ${start.usableSeconds.toFixed(1)} s, up in ${start.wholeSeconds.toFixed(1)} s`,
        )
      }
    }
  })
  const rows = VM_COUNTS.map((count) => {
    const own = starts.filter(({ vmCount }) => vmCount === count)
    const seconds = (values: readonly number[]): string => shown(spreadOf(values), (value) => value.toFixed(1))
    return [String(count), seconds(own.map((one) => one.usableSeconds)), seconds(own.map((one) => one.wholeSeconds))]
  })
  return {
    heading: 'From the description to usable machines',
    method:
      '`skilfish up` over Ceph, one machine a host, no template there before: from the beginning of `boot` until the last guest answers, and the ' +
      'whole command (create, boot, fetch, switch). Guests boot in software emulation on two shared processors.',
    rows: [['Machines', 'Usable after, s', 'Whole `up`, s'], ...rows],
    verdicts: [],
    figures: { starts },
  }
}

export const start: Study = { name: 'start', text: 'how long `skilfish up` takes for 1, 2 and 4 machines', run }
