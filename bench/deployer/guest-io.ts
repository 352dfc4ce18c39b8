import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { GuestConsole } from '../../test/lab/guest-console.ts'
import { TestCluster } from '../../test/lab/test-cluster.ts'
import { shown } from '../figures.ts'
import { spreadOf } from '../peers/statistics.ts'
import { judge } from '../peers/verdict.ts'
import { forgetBases, MIB, removeMachines, type Finding, type Study, type StudyOptions } from './study.ts'

/** Caps of the fetch, MB/s. */
const RATES = [10, 20, 40] as const

/** What the guest does, and how much of its throughput the paper's guests lost (percent, at 10 MB/s). */
const LOADS = [
  { name: 'reads', writePercent: 0, mostLost: 7.6 },
  { name: 'writes', writePercent: 100, mostLost: 12.5 },
] as const

/** Length of a measurement, seconds. */
const SECONDS = 10

const START_TIMEOUT_MS = 60_000

interface Pair {
  readonly rate: number
  readonly load: string
  readonly quietPerSec: number
  readonly fetchPerSec: number
}

async function opsPerSec(guest: GuestConsole, writePercent: number): Promise<number> {
  const { reads, writes, elapsedMs, bad, errors } = await guest.run({ seconds: SECONDS, writePercent })
  if (bad + errors > 0) throw new Error(`the guest found ${bad} bad blocks and ${errors} errors`)
  return ((reads + writes) * 1000) / elapsedMs
}

/** Waits until the host has begun to write its copy. */
async function receiving(cluster: TestCluster): Promise<void> {
  const bases = join(cluster.hosts.hosts[0]!.folder, 'bases')
  const deadlineMs = performance.now() + START_TIMEOUT_MS
  while (!existsSync(bases) || !readdirSync(bases).some((name) => name.endsWith('.part'))) {
    if (performance.now() > deadlineMs) throw new Error('the fetch does not begin')
    await delay(20)
  }
}

/** What the guest does while a fetch runs; that is given up afterwards. */
async function duringFetch(cluster: TestCluster, guest: GuestConsole, writePercent: number): Promise<number> {
  forgetBases(cluster)
  const fetch = cluster.start('fetch')
  await receiving(cluster)
  const perSec = await opsPerSec(guest, writePercent)
  if (fetch.process.exitCode !== null) throw new Error('the fetch ended before the measurement: give it a larger disk')
  fetch.process.kill('SIGINT')
  await fetch.result
  return perSec
}

async function run({ rounds, mib, say }: StudyOptions): Promise<Finding> {
  const pairs: Pair[] = []
  // At the highest rate the fetch must last longer than the measurement.
  const sizeMib = Math.max(mib, Math.ceil((Math.max(...RATES) * (SECONDS + 8) * 1e6) / MIB / 0.75))
  await TestCluster.with({ storage: 'rbd', hostCount: 1, sizeBytes: sizeMib * MIB }, async (cluster) => {
    await cluster.done('create')
    await cluster.done('boot')
    const guest = await cluster.guest('vm1')
    for (let round = 1; round <= rounds; round++) {
      for (const rate of RATES) {
        await cluster.done('fetch', '--set-max-bitrate', `${rate}MB/s`)
        for (const { name, writePercent } of LOADS) {
          const quiet = (): Promise<number> => opsPerSec(guest, writePercent)
          const busy = (): Promise<number> => duringFetch(cluster, guest, writePercent)
          // Whatever drifts meets both alike.
          const first = round % 2 === 1 ? await quiet() : await busy()
          const second = round % 2 === 1 ? await busy() : await quiet()
          const [quietPerSec, fetchPerSec] = round % 2 === 1 ? [first, second] : [second, first]
          pairs.push({ rate, load: name, quietPerSec, fetchPerSec })
          const perSec = `quiet ${quietPerSec.toFixed(0)}, during the fetch ${fetchPerSec.toFixed(0)} a second`
          say(`round ${round}: ${rate} MB/s: ${name}: ${perSec}`)
        }
      }
    }
    guest.close()
    await removeMachines(cluster)
  })
  const lost = ({ quietPerSec, fetchPerSec }: Pair): number => 100 * (1 - fetchPerSec / quietPerSec)
  const of = (rate: number, load: string): Pair[] => pairs.filter((pair) => pair.rate === rate && pair.load === load)
  const rows = RATES.flatMap((rate) =>
    LOADS.map(({ name }) => {
      const own = of(rate, name)
      const perSec = (value: (pair: Pair) => number): string =>
        shown(spreadOf(own.map(value)), (count) => count.toFixed(0))
      const percent = shown(spreadOf(own.map(lost)), (value) => value.toFixed(1))
      return [String(rate), name, perSec((pair) => pair.quietPerSec), perSec((pair) => pair.fetchPerSec), percent]
    }),
  )
  return {
    heading: "The guest's own requests while a fetch runs",
    method:
      `One machine over Ceph; two requests of 4 KiB at a time at random places for ${SECONDS} s, as many as it can, every block verified, without a ` +
      'fetch and with one at each cap, in turn. Guest (in software emulation), QEMU, Ceph, sender and receiver share the processors and one disk.',
    rows: [['Cap, MB/s', 'Requests', 'Quiet, a second', 'During the fetch', 'Lost, %'], ...rows],
    verdicts: LOADS.map(({ name, mostLost }) =>
      judge(`${name} lost during a fetch at 10 MB/s`, spreadOf(of(10, name).map(lost)).median, '%', {
        atMost: mostLost,
      }),
    ),
    figures: { pairs },
  }
}

export const guestIo: Study = { name: 'guest-io', text: "what a fetch costs a guest's reads and writes", run }
