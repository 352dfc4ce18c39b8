import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { requireIdentical } from '../../test/lab/images.ts'
import type { Lab } from '../../test/lab/lab.ts'
import { startReceiver, startSender, type Running } from '../../test/lab/skilfish-process.ts'

/** How long our commands take before they are of use. */
export interface StartFigures {
  /** Of each receiver: from the start of its process until its host has joined the group, ms. */
  readonly receiverReadyMs: readonly number[]
  /** With all receivers waiting: from the start of the sender's process to its first data packet at another host, ms. */
  readonly firstDataMs: number
  /** A whole run of Node.js with nothing to do, for comparison. */
  readonly nodeMs: number
}

const WATCHER = join(import.meta.dirname, 'first-data.mjs')

const GROUP_BYTES = [239, 192, 83, 75]
const GROUP = `${GROUP_BYTES.join('.')}:9757`

/** How often it is looked whether a host has joined: what a measurement may err by, milliseconds. */
const POLL_MS = 1

/** For all of one measurement, milliseconds. */
const TIMEOUT_MS = 60_000

/**
 * Starts receivers, each when the one before is ready, then the sender, and waits for the end of the transfer. On the lab's last
 * host the first data packet is watched for, so that one receiver fewer than the lab has takes part.
 * @throws Error when a process fails, the time is up, or a copy differs from the source
 */
export async function measureStart(lab: Lab, sourcePath: string, parentFolder: string): Promise<StartFigures> {
  const folder = mkdtempSync(join(parentFolder, 'start-'))
  const children: ChildProcess[] = []
  const killAll = (): void => children.forEach((child) => child.kill('SIGKILL'))
  const timer = setTimeout(killAll, TIMEOUT_MS)
  try {
    const watcher = lab.spawn(lab.receivers.length, process.execPath, [WATCHER, GROUP])
    children.push(watcher)
    const words = createInterface({ input: watcher.stdout! })[Symbol.asyncIterator]()
    await nextWord(words)

    const nodeMs = await timeNode(lab)

    const receivers: { readonly running: Running<unknown>; readonly path: string }[] = []
    const receiverReadyMs: number[] = []
    for (const { index } of lab.receivers.slice(0, -1)) {
      const path = join(folder, `copy-${index}`)
      const startedAtMs = performance.now()
      const running = startReceiver(lab, index, ['--group', GROUP, path])
      children.push(running.child)
      await untilJoined(running.child)
      receiverReadyMs.push(performance.now() - startedAtMs)
      receivers.push({ running, path })
    }

    const startedAtNs = process.hrtime.bigint()
    const wait = ['--min-receivers', String(receivers.length), '--no-keyboard']
    const sender = startSender(lab, ['--group', GROUP, ...wait, sourcePath])
    children.push(sender.child)
    const firstDataNs = BigInt(await nextWord(words))
    for (const { ended } of [sender, ...receivers.map(({ running }) => running)]) {
      const { status, stderr } = await ended
      if (status !== 0) throw new Error(`A command ended with status ${status ?? 'of a signal'}\n${stderr}`)
    }
    for (const { path } of receivers) await requireIdentical(sourcePath, path)
    return { receiverReadyMs, firstDataMs: Number(firstDataNs - startedAtNs) / 1e6, nodeMs }
  } finally {
    clearTimeout(timer)
    killAll()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function timeNode(lab: Lab): Promise<number> {
  const startedAtMs = performance.now()
  await once(lab.spawn(0, process.execPath, ['-e', '0']), 'exit')
  return performance.now() - startedAtMs
}

async function nextWord(words: AsyncIterator<string>): Promise<string> {
  const word = await words.next()
  if (word.done) throw new Error('The program that watches for the first data packet has ended without seeing one')
  return word.value
}

/** Waits until the host of a process is a member of the group. */
async function untilJoined(child: ChildProcess): Promise<void> {
  // The kernel prints the address as one number of the machine's byte order. Source: net/ipv4/igmp.c.
  const word = new Uint32Array(Uint8Array.from(GROUP_BYTES).buffer)[0]!
  const hex = word.toString(16).toUpperCase().padStart(8, '0')
  while (!readGroups(child).includes(hex)) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error('A receiver has ended before it joined the group')
    await pause(POLL_MS)
  }
}

function readGroups({ pid = 0 }: ChildProcess): string {
  try {
    return readFileSync(`/proc/${pid}/net/igmp`, 'latin1')
  } catch {
    return ''
  }
}
