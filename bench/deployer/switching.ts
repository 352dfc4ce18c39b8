import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { GuestConsole, GuestReport } from '../../test/lab/guest-console.ts'
import type { CommandRun } from '../../test/lab/cluster-command.ts'
import { TestCluster } from '../../test/lab/test-cluster.ts'
import { fixed, shown } from '../figures.ts'
import { spreadOf, type Spread } from '../peers/statistics.ts'
import { judge } from '../peers/verdict.ts'
import { forgetBases, MIB, numberOf, removeMachines, type Study, type StudyOptions } from './study.ts'

const VM_COUNT = 4

/** What each guest does all the time. */
const LOAD = { opsPerSec: 200 }

/** How long guests are watched before they are switched, seconds, which are reports. */
const QUIET_REPORTS = 12

const TIMEOUT_MS = 60_000

interface Switch {
  /** On the host: from the first look at QEMU to the last node deleted; of that, the change of the base. */
  readonly switchMs: number
  readonly reopenMs: number
  /** With reaching the host. */
  readonly wholeMs: number
}

interface Round {
  readonly switches: readonly Switch[]
  /** The longest request of any guest in as many reports, quiet and while switching, milliseconds. */
  readonly quietWorstMs: number
  readonly switchWorstMs: number
}

/** The reports of all guests, as windows of time. */
class Watch {
  readonly #guests: readonly GuestConsole[]
  readonly #starts: readonly number[]

  constructor(guests: readonly GuestConsole[]) {
    this.#guests = guests
    this.#starts = guests.map(({ reports }) => reports.length)
  }

  /** Waits for `count` more reports of each. */
  async more(count: number): Promise<void> {
    await Promise.all(
      this.#guests.map((guest) => {
        const end = guest.reports.length + count
        return guest.nextReport(() => guest.reports.length >= end, TIMEOUT_MS)
      }),
    )
  }

  get count(): number {
    return Math.max(...this.#guests.map(({ reports }, index) => reports.length - this.#starts[index]!))
  }

  /** The longest request in the first `count` reports, milliseconds. */
  worstMs(count = Infinity): number {
    const worst = ({ worstReadUs, worstWriteUs, worstFlushUs }: GuestReport): number =>
      Math.max(worstReadUs, worstWriteUs, worstFlushUs) / 1000
    return Math.max(
      ...this.#guests.flatMap(({ reports }, index) => {
        const start = this.#starts[index]!
        return reports.slice(start, Math.min(reports.length, start + count)).map(worst)
      }),
    )
  }
}

async function measure(cluster: TestCluster, together: boolean): Promise<Round> {
  // With the template on their hosts machines would boot over that.
  forgetBases(cluster)
  await cluster.done('create')
  await cluster.done('boot')
  const guests = await Promise.all(cluster.vms.map((vm) => cluster.guest(vm)))
  try {
    const runs = guests.map((guest) => guest.run(LOAD))
    await cluster.done('fetch')
    // Quiet begins when the disk has what was fetched, with the first second that has nothing of the fetch.
    await promisify(execFile)('sync')
    await new Watch(guests).more(1)
    const quiet = new Watch(guests)
    await quiet.more(QUIET_REPORTS)
    const busy = new Watch(guests)
    const ended: CommandRun[] = []
    if (together) ended.push(await cluster.done('switch'))
    else for (const vm of cluster.vms) ended.push(await cluster.done('switch', '--vms', vm))
    // What was under way at the end of the last one is told by the next report.
    await busy.more(1)
    const quietWorstMs = quiet.worstMs(Math.min(busy.count, QUIET_REPORTS))
    const switchWorstMs = busy.worstMs()
    for (const guest of guests) guest.stop()
    for (const { bad, errors } of await Promise.all(runs)) {
      if (bad + errors > 0) throw new Error(`a guest found ${bad} bad blocks and ${errors} errors`)
    }
    const switches = ended
      .flatMap(({ results }) => results)
      .map((part) => ({
        switchMs: numberOf(part['result'], 'switchMs'),
        reopenMs: numberOf(part['result'], 'reopenMs'),
        wholeMs: numberOf(part, 'elapsedMs'),
      }))
    return { switches, quietWorstMs, switchWorstMs }
  } finally {
    for (const guest of guests) guest.close()
    await removeMachines(cluster)
  }
}

async function run({ rounds, mib, say }: StudyOptions): Promise<Awaited<ReturnType<Study['run']>>> {
  const single: Round[] = []
  const together: Round[] = []
  const options = { storage: 'rbd', hostCount: VM_COUNT, sizeBytes: mib * MIB } as const
  await TestCluster.with(options, async (cluster) => {
    for (let round = 1; round <= rounds; round++) {
      for (const [all, isTogether] of [[single, false] as const, [together, true] as const]) {
        const one = await measure(cluster, isTogether)
        all.push(one)
        const times = one.switches.map(({ switchMs }) => switchMs.toFixed(0)).join(' ')
        const worst = `longest request quiet ${one.quietWorstMs.toFixed(0)}, switching ${one.switchWorstMs.toFixed(0)}`
        say(`round ${round}: switch, ${isTogether ? 'together' : 'one by one'}: ${times} ms; ${worst} ms`)
      }
    }
  })
  const ms = (value: number): string => value.toFixed(0)
  const row = (name: string, all: readonly Round[], value: (one: Switch) => number): string[] => {
    const values = all.flatMap(({ switches }) => switches.map(value))
    return [name, String(values.length), shown(spreadOf(values), ms)]
  }
  const lastOf = together.map(({ switches }) => Math.max(...switches.map(({ switchMs }) => switchMs)))
  const lastWhole = together.map(({ switches }) => Math.max(...switches.map(({ wholeMs }) => wholeMs)))
  /** Each round's longest request while switching, over that of its own quiet time. */
  const notice = (all: readonly Round[]): Spread =>
    spreadOf(all.map(({ switchWorstMs, quietWorstMs }) => switchWorstMs / quietWorstMs))
  const median = spreadOf(single.flatMap(({ switches }) => switches.map(({ switchMs }) => switchMs))).median
  return {
    heading: 'Switch',
    method:
      `${VM_COUNT} machines on ${VM_COUNT} hosts over Ceph, each with ${LOAD.opsPerSec} verified requests a second, every sixth a write. A switch is ` +
      'from the first look at QEMU to the last node of the storage deleted, on the host; with reaching the host it is from the ' +
      "deployer's request to its answer, a start of Node.js on the host in it. The longest requests are those of all guests, quiet and " +
      'while switching, in windows of as many seconds; the commands run on the same processors.',
    rows: [
      ['What', 'Times', 'ms'],
      row('one by one', single, ({ switchMs }) => switchMs),
      row('… of that, the change of the base', single, ({ reopenMs }) => reopenMs),
      row('… with reaching the host', single, ({ wholeMs }) => wholeMs),
      ['all four at once: the longest', String(lastOf.length), shown(spreadOf(lastOf), ms)],
      ['… with reaching the hosts', String(lastWhole.length), shown(spreadOf(lastWhole), ms)],
      [
        'longest request of a guest, quiet',
        String(2 * rounds),
        shown(spreadOf([...single, ...together].map((one) => one.quietWorstMs)), ms),
      ],
      ['… while switched one by one', String(rounds), shown(spreadOf(single.map((one) => one.switchWorstMs)), ms)],
      ['… while switched at once', String(rounds), shown(spreadOf(together.map((one) => one.switchWorstMs)), ms)],
      ['… one by one, over that in quiet of the same round', String(rounds), `${shown(notice(single), fixed)} ×`],
      ['… at once, over that in quiet of the same round', String(rounds), `${shown(notice(together), fixed)} ×`],
    ],
    verdicts: [
      judge('one switch, median', median, 'ms', { atMost: 100 }),
      judge('four switches at once, the longest, median', spreadOf(lastOf).median, 'ms', { atMost: 500 }),
      judge('longest request while switched one by one, over that in quiet, median', notice(single).median, '×', {
        atMost: 2,
      }),
      judge('longest request while switched at once, over that in quiet, median', notice(together).median, '×', {
        atMost: 2,
      }),
    ],
    figures: { single, together },
  }
}

export const switching: Study = { name: 'switch', text: 'how long a switch takes, and what guests notice', run }
