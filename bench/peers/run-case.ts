import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { requireIdentical } from '../../test/lab/images.ts'
import type { Lab } from '../../test/lab/lab.ts'
import { measureTransfer } from '../../test/lab/measured-transfer.ts'
import { runPeer, type PeerFigures } from '../../test/lab/peers.ts'
import type { SendResult } from '../../src/index.ts'
import { findLosslessRate, type RateTry } from './rate-search.ts'
import { runRawStream, type RawRun } from './raw-limit.ts'
import { isPeer, OURS_WITHOUT_OFFLOAD, RAW_LIMIT, type Case } from './scenario.ts'

const SEND = join(import.meta.dirname, '../../dist/cli/send.js')
const RECEIVE = join(import.meta.dirname, '../../dist/cli/recv.js')

/** One transfer, measured; every copy has been compared with its source. */
export interface CaseRun extends PeerFigures {
  /** What our sender says of itself; absent for other programs. */
  readonly result?: SendResult
  /** Of a raw stream, which has no copies. */
  readonly rate?: RateTry
}

export interface CasePlace {
  /** With the scenario's receivers and MTU. */
  readonly lab: Lab
  readonly sourcePath: string
  /** In memory, so that no disk slows a transfer down. What is made there is removed again. */
  readonly folder: string
  readonly timeoutMs: number
  /** What the run before found of a raw stream. */
  readonly known?: RateTry | undefined
}

/**
 * Runs a case once. For the raw limit that is a search, of which the run that succeeded at the highest rate counts.
 * @throws Error when a process fails, the time is up, or a copy differs from the source
 */
export async function runCase({ program, scenario }: Case, place: CasePlace): Promise<CaseRun> {
  const { lab, timeoutMs } = place
  lab.loss(scenario.lossPercent)
  if (program === RAW_LIMIT) return searchRawLimit({ program, scenario }, place)
  if (!isPeer(program)) return runOurs({ program, scenario }, place)
  const { receiverCount, maxBitsPerSec } = scenario
  const cap = maxBitsPerSec === undefined ? {} : { maxBitsPerSec }
  return runPeer(program, { ...place, receiverCount, timeoutMs, ...cap })
}

async function runOurs(
  { program, scenario }: Case,
  { lab, sourcePath, folder, timeoutMs }: CasePlace,
): Promise<CaseRun> {
  const { receiverCount, mtuBytes, maxBitsPerSec } = scenario
  const copies = mkdtempSync(join(folder, 'skilfish-'))
  const copyPaths = Array.from({ length: receiverCount }, (_, index) => join(copies, String(index + 1), 'copy'))
  const offload = program === OURS_WITHOUT_OFFLOAD ? ['--no-offload'] : []
  const common = ['--json', '--quiet', '--interface', 'eth0', ...offload]
  const cap = maxBitsPerSec === undefined ? [] : ['--max-bitrate', String(maxBitsPerSec)]
  const sendOptions = [...common, '--min-receivers', String(receiverCount), '--mtu', String(mtuBytes), ...cap]
  try {
    for (const path of copyPaths) mkdirSync(join(path, '..'))
    const figures = await measureTransfer(lab, {
      sender: { command: process.execPath, args: [SEND, ...sendOptions, '--no-keyboard', sourcePath] },
      receivers: copyPaths.map((path) => ({ command: process.execPath, args: [RECEIVE, ...common, path] })),
      timeoutMs,
    })
    for (const path of copyPaths) await requireIdentical(sourcePath, path)
    return { ...figures, result: parseResult(figures.sender.output) }
  } finally {
    rmSync(copies, { recursive: true, force: true })
  }
}

/** Finds the line of type `result` in what a command wrote under `--json`. */
function parseResult(output: string): SendResult {
  const line = output.split('\n').findLast((text) => text.startsWith('{"type":"result"'))
  if (line === undefined) throw new Error(`The sender told no result:\n${output}`)
  return JSON.parse(line) as SendResult
}

async function searchRawLimit({ scenario }: Case, { lab, timeoutMs, known }: CasePlace): Promise<CaseRun> {
  const found = await findLosslessRate<RawRun>((cap) => runRawStream(lab, scenario, timeoutMs, cap), known)
  if (!found) throw new Error('No rate was found at which the raw stream loses nothing')
  const { capBitsPerSec, bitsPerSec, isLossless, ...figures } = found
  return { ...figures, rate: { ...(capBitsPerSec === undefined ? {} : { capBitsPerSec }), bitsPerSec, isLossless } }
}
