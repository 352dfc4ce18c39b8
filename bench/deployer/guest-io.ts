import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { GuestConsole } from '../../test/lab/guest-console.ts'
import { TestCluster } from '../../test/lab/test-cluster.ts'
import { shown } from '../figures.ts'
import { spreadOf } from '../peers/statistics.ts'
import { judge } from '../peers/verdict.ts'
import { burn, processorMs } from './processor-time.ts'
import { forgetBases, MIB, removeMachines, type Finding, type Study, type StudyOptions } from './study.ts'

/** Caps of the fetch, MB/s. */
const RATES = [10, 20, 40] as const

/** The one that the bars are for. */
const BAR_RATE = 10

/** What the guest does, and how much of its throughput the paper's guests lost (percent, at 10 MB/s). */
const LOADS = [
  { name: 'reads', writePercent: 0, mostLost: 7.6 },
  { name: 'writes', writePercent: 100, mostLost: 12.5 },
] as const

type Load = (typeof LOADS)[number]

/** Length of a measurement, seconds. */
const SECONDS = 5

/** So long after the host has begun to write, milliseconds: starts of programs are over. */
const SETTLE_MS = 1000

const START_TIMEOUT_MS = 60_000
const BLOCK_BYTES = 4096

/** Neighbours in time: quiet, during a fetch, quiet, and at {@link BAR_RATE} beside a loop that takes as much of a processor, quiet. */
interface Turn {
  readonly rate: number
  readonly load: string
  readonly quietPerSec: readonly number[]
  readonly fetchPerSec: number
  /** Of one processor, what all programs of the fetch take: sender, receiver, `rbd`. */
  readonly processorPercent: number
  readonly loopPerSec?: number
}

async function opsPerSec(guest: GuestConsole, { writePercent }: Load): Promise<number> {
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
async function duringFetch(
  cluster: TestCluster,
  guest: GuestConsole,
  load: Load,
): Promise<{ readonly fetchPerSec: number; readonly processorPercent: number }> {
  forgetBases(cluster)
  const fetch = cluster.start('fetch')
  await receiving(cluster)
  await delay(SETTLE_MS)
  const [startedMs, beforeMs] = [performance.now(), processorMs(fetch.process.pid!)]
  const fetchPerSec = await opsPerSec(guest, load)
  const processorPercent = (100 * (processorMs(fetch.process.pid!) - beforeMs)) / (performance.now() - startedMs)
  if (fetch.process.exitCode !== null) throw new Error('the fetch ended before the measurement: give it a larger disk')
  fetch.process.kill('SIGINT')
  await fetch.result
  return { fetchPerSec, processorPercent }
}

/** What the guest does beside a program that takes as much of a processor, and nothing else. */
async function besideLoop(guest: GuestConsole, load: Load, processorPercent: number): Promise<number> {
  const loop = burn(processorPercent / 100)
  try {
    await delay(SETTLE_MS)
    return await opsPerSec(guest, load)
  } finally {
    loop.kill()
    await once(loop, 'exit')
  }
}

async function takeTurn(cluster: TestCluster, guest: GuestConsole, rate: number, load: Load): Promise<Turn> {
  const quietPerSec = [await opsPerSec(guest, load)]
  const busy = await duringFetch(cluster, guest, load)
  quietPerSec.push(await opsPerSec(guest, load))
  const turn = { rate, load: load.name, quietPerSec, ...busy }
  if (rate !== BAR_RATE) return turn
  const loopPerSec = await besideLoop(guest, load, busy.processorPercent)
  quietPerSec.push(await opsPerSec(guest, load))
  return { ...turn, loopPerSec }
}

async function run({ rounds, mib, say }: StudyOptions): Promise<Finding> {
  const turns: Turn[] = []
  // At the highest rate the fetch must last longer than the measurement.
  const sizeMib = Math.max(mib, Math.ceil((Math.max(...RATES) * (SECONDS + 8) * 1e6) / MIB / 0.75))
  await TestCluster.with({ storage: 'rbd', hostCount: 1, sizeBytes: sizeMib * MIB }, async (cluster) => {
    await cluster.done('create')
    await cluster.done('boot')
    const guest = await cluster.guest('vm1')
    for (const load of LOADS) {
      // The first write of a cluster copies it from the storage: writes would be faster by themselves from turn to turn.
      if (load.writePercent > 0) await guest.write(0, (sizeMib * MIB) / BLOCK_BYTES, 1)
      for (let round = 1; round <= rounds; round++) {
        for (const rate of RATES) {
          await cluster.done('fetch', '--set-max-bitrate', `${rate}MB/s`)
          const turn = await takeTurn(cluster, guest, rate, load)
          turns.push(turn)
          const quiet = turn.quietPerSec.map((perSec) => perSec.toFixed(0)).join(', ')
          const busy = `during the fetch ${turn.fetchPerSec.toFixed(0)}, beside the loop ${turn.loopPerSec?.toFixed(0) ?? '–'}`
          const share = `${turn.processorPercent.toFixed(0)} % of a processor`
          say(`round ${round}: ${rate} MB/s: ${load.name}: quiet ${quiet}; ${busy} a second; ${share}`)
        }
      }
    }
    guest.close()
    await removeMachines(cluster)
  })
  return findingOf(turns)
}

/** Against the quiet times before and after, percent. */
const lost = (perSec: number, before: number, after: number): number => 100 * (1 - (2 * perSec) / (before + after))
const lostToFetch = ({ fetchPerSec, quietPerSec: [before, after] }: Turn): number => lost(fetchPerSec, before!, after!)
const lostToLoop = ({ loopPerSec, quietPerSec: [, before, after] }: Turn): readonly number[] =>
  loopPerSec === undefined ? [] : [lost(loopPerSec, before!, after!)]
const quietChange = ({ quietPerSec: [before, after] }: Turn): number => 100 * Math.abs(1 - after! / before!)

function findingOf(turns: readonly Turn[]): Finding {
  const of = (rate: number, load: string): Turn[] => turns.filter((turn) => turn.rate === rate && turn.load === load)
  const cell = (values: readonly number[], digits: number): string =>
    values.length === 0 ? '–' : shown(spreadOf(values), (value) => value.toFixed(digits))
  const rows = RATES.flatMap((rate) =>
    LOADS.map(({ name }) => {
      const own = of(rate, name)
      return [
        ...[
          String(rate),
          name,
          cell(
            own.flatMap(({ quietPerSec }) => quietPerSec),
            0,
          ),
        ],
        ...[
          cell(
            own.map(({ fetchPerSec }) => fetchPerSec),
            0,
          ),
          cell(own.map(lostToFetch), 1),
        ],
        ...[
          cell(own.map(quietChange), 1),
          cell(
            own.map(({ processorPercent }) => processorPercent),
            0,
          ),
        ],
        cell(own.flatMap(lostToLoop), 1),
      ]
    }),
  )
  const head = ['Cap, MB/s', 'Requests', 'Quiet, a second', 'During the fetch', 'Lost, %']
  return {
    heading: "The guest's own requests while a fetch runs",
    method:
      `One machine over Ceph; two requests of 4 KiB at a time at random places for ${SECONDS} s, as many as it can, every block verified: reads of ` +
      'what only the storage has, then writes to what the overlay has already. What is lost is against the quiet times right before and ' +
      'after; how much those two differ is told beside it. Guest (in software emulation), QEMU, Ceph, sender and receiver share two ' +
      'processors and one disk: the last column is what the guest loses to a loop that takes as much of a processor as all programs of ' +
      'the fetch, gives way like them, and does nothing.',
    rows: [[...head, 'Between quiet times, %', 'The fetch, % of a processor', 'Lost to the loop, %'], ...rows],
    verdicts: LOADS.map(({ name, mostLost }) =>
      judge(
        `${name} lost during a fetch at ${BAR_RATE} MB/s`,
        spreadOf(of(BAR_RATE, name).map(lostToFetch)).median,
        '%',
        {
          atMost: mostLost,
        },
      ),
    ),
    figures: { turns },
  }
}

export const guestIo: Study = { name: 'guest-io', text: "what a fetch costs a guest's reads and writes", run }
