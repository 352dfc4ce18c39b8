import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { requireIdentical } from '../../test/lab/images.ts'
import type { Lab } from '../../test/lab/lab.ts'
import { measureTransfer, type TransferFigures } from '../../test/lab/measured-transfer.ts'
import { PEER_NAMES, runPeer, type PeerName } from '../../test/lab/peers.ts'
import type { SendResult } from '../../src/index.ts'
import type { Case, Scenario } from './scenario.ts'

/** The name of our own program in tables. */
export const OURS = 'skilfish'

/** Where images and copies are: in memory, so that no disk slows a transfer down. */
export const MEMORY_FOLDER = '/dev/shm'

const SEND = join(import.meta.dirname, '../../dist/cli/send.js')
const RECEIVE = join(import.meta.dirname, '../../dist/cli/recv.js')

/** Many times what the slowest case takes. */
const TIMEOUT_MS = 120_000

/** One transfer, measured; every copy has been compared with its source. */
export interface CaseRun extends TransferFigures {
  /** What our sender says of itself; absent for peers. */
  readonly result?: SendResult
}

/**
 * Runs a case once in a lab that has its receivers and its MTU.
 * @throws Error when a process fails, the time is up, or a copy differs from the source
 */
export async function runCase(lab: Lab, { program, scenario }: Case, sourcePath: string): Promise<CaseRun> {
  lab.loss(scenario.lossPercent)
  if (program === OURS) return runOurs(lab, scenario, sourcePath)
  if (!isPeerName(program)) throw new RangeError(`There is no program ${program}`)
  const { receiverCount, maxBitsPerSec } = scenario
  const cap = maxBitsPerSec === undefined ? {} : { maxBitsPerSec }
  return runPeer(program, { lab, sourcePath, receiverCount, folder: MEMORY_FOLDER, timeoutMs: TIMEOUT_MS, ...cap })
}

const isPeerName = (name: string): name is PeerName => PEER_NAMES.some((peer) => peer === name)

async function runOurs(lab: Lab, scenario: Scenario, sourcePath: string): Promise<CaseRun> {
  const { receiverCount, mtuBytes, maxBitsPerSec } = scenario
  const folder = mkdtempSync(join(MEMORY_FOLDER, 'skilfish-ours-'))
  const copyPaths = Array.from({ length: receiverCount }, (_, index) => join(folder, String(index + 1), 'copy'))
  const common = ['--json', '--quiet', '--interface', 'eth0']
  const cap = maxBitsPerSec === undefined ? [] : ['--max-bitrate', String(maxBitsPerSec)]
  const sendOptions = [...common, '--min-receivers', String(receiverCount), '--mtu', String(mtuBytes), ...cap]
  try {
    for (const path of copyPaths) mkdirSync(join(path, '..'))
    const figures = await measureTransfer(lab, {
      sender: { command: process.execPath, args: [SEND, ...sendOptions, '--no-keyboard', sourcePath] },
      receivers: copyPaths.map((path) => ({ command: process.execPath, args: [RECEIVE, ...common, path] })),
      timeoutMs: TIMEOUT_MS,
    })
    for (const path of copyPaths) await requireIdentical(sourcePath, path)
    return { ...figures, result: parseResult(figures.sender.output) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Finds the line of type `result` in what a command wrote under `--json`. */
function parseResult(output: string): SendResult {
  const line = output.split('\n').findLast((text) => text.startsWith('{"type":"result"'))
  if (line === undefined) throw new Error(`The sender told no result:\n${output}`)
  return JSON.parse(line) as SendResult
}
