import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { SendResult } from '../../src/index.ts'
import { runCommand } from '../../test/lab/command.ts'
import { requireIdentical } from '../../test/lab/images.ts'
import type { Lab } from '../../test/lab/lab.ts'
import { measureTransfer, type Command } from '../../test/lab/measured-transfer.ts'
import type { Scenario } from './scenario.ts'
import { SlowDisk } from './slow-disk.ts'
import { TcpFlow } from './tcp-flow.ts'

const PROGRAMS = join(import.meta.dirname, '../../dist/cli')

/** Many times what the slowest run takes. */
const TIMEOUT_MS = 120_000

/** The first second of a transfer, in which two flows that meet have not yet found their shares, milliseconds. */
const MEETING_MS = 1000

/** One transfer. Every copy has been compared with the source. */
export interface Run {
  /** From the start of the first process to the end of the last. */
  readonly wholeRunMs: number
  /** Packets sent, as a multiple of the least possible. */
  readonly sentRatio: number
  readonly socketDropCount: number
  /** What the TCP flow beside it had, bits per second. */
  readonly tcpBitsPerSec?: number
}

/**
 * Runs a transfer to all receivers of the lab.
 * @param capBitsPerSec undefined: no cap
 * @throws Error when a process fails, the time is up, or a copy differs from the source
 */
export async function runScenario(
  lab: Lab,
  scenario: Scenario,
  capBitsPerSec: number | undefined,
  source: { readonly path: string; readonly sizeBytes: number },
): Promise<Run> {
  const folder = mkdtempSync(join(source.path, '../run-'))
  const { slowDiskBytesPerSec, sharedBitsPerSec = 0 } = scenario
  const disk =
    slowDiskBytesPerSec === undefined
      ? undefined
      : new SlowDisk(join(folder, 'disk'), source.sizeBytes, slowDiskBytesPerSec)
  lab.loss(scenario.lossPercent)
  lab.rate(sharedBitsPerSec / 1e6)
  const tcp = sharedBitsPerSec === 0 ? undefined : await TcpFlow.start(lab, lab.receivers.length)
  let [tcpFromMs, tcpToMs] = [0, 0]
  try {
    const targets = lab.receivers.map(({ index }) => join(folder, String(index)))
    const receivers = targets.map((path): Command => receive(path))
    if (disk !== undefined) {
      targets[0] = disk.file
      receivers[0] = receive(disk.path)
    }
    const cap = capBitsPerSec === undefined ? [] : ['--max-bitrate', String(capBitsPerSec)]
    const options = ['--min-receivers', String(receivers.length), '--no-keyboard', ...cap]
    const beganMs = performance.now()
    const figures = await measureTransfer(lab, {
      sender: command('send.js', [...options, source.path]),
      receivers,
      timeoutMs: TIMEOUT_MS,
    })
    const { stats, transferMs } = parseResult(figures.sender.output)
    tcpToMs = beganMs + figures.untilSenderEndMs
    tcpFromMs = tcpToMs - transferMs + MEETING_MS
    if (disk !== undefined) runCommand('blockdev', ['--flushbufs', disk.path])
    for (const path of targets) await requireIdentical(source.path, path)
    const { wholeRunMs, socketDropCount } = figures
    const run = { wholeRunMs, socketDropCount, sentRatio: stats.packets / stats.sourceSymbols }
    return tcp === undefined ? run : { ...run, tcpBitsPerSec: await tcp.stop(tcpFromMs, tcpToMs) }
  } finally {
    await tcp?.stop(tcpFromMs, tcpToMs)
    disk?.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

const receive = (...args: string[]): Command => command('recv.js', args)

const command = (program: string, args: readonly string[]): Command => ({
  command: process.execPath,
  args: [join(PROGRAMS, program), '--json', '--quiet', '--interface', 'eth0', ...args],
})

/** Finds the line of type `result` in what the sender wrote under `--json`. */
function parseResult(output: string): SendResult {
  const line = output.split('\n').findLast((text) => text.startsWith('{"type":"result"'))
  if (line === undefined) throw new Error(`The sender told no result:\n${output}`)
  return JSON.parse(line) as SendResult
}
