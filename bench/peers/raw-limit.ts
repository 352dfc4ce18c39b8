import { join } from 'node:path'
import type { Lab } from '../../test/lab/lab.ts'
import { measureTransfer, type TransferFigures } from '../../test/lab/measured-transfer.ts'
import type { RateTry } from './rate-search.ts'
import type { Scenario } from './scenario.ts'

/** One stream with no protocol, measured as a transfer is: from the start of the first process to the exit of the last. */
export interface RawRun extends TransferFigures, RateTry {}

const PROGRAM = join(import.meta.dirname, 'raw-stream.mjs')
const GROUP = '239.192.83.76:9757'

/** IPv4's and UDP's headers. */
const HEADER_BYTES = 28

/**
 * Sends as many bytes as the scenario's image has to receivers that only count them, in datagrams that fill the MTU. Bytes that
 * are lost stay lost: see `isLossless`.
 * @throws Error when a process fails or the time is up
 */
export async function runRawStream(
  lab: Lab,
  scenario: Scenario,
  timeoutMs: number,
  capBitsPerSec?: number,
): Promise<RawRun> {
  const { imageMib, mtuBytes, receiverCount } = scenario
  const common = [GROUP, String(mtuBytes - HEADER_BYTES)]
  const cap = capBitsPerSec === undefined ? [] : [String(Math.round(capBitsPerSec))]
  const sendArgs = ['send', ...common, String(imageMib * 1024 ** 2), String(receiverCount), ...cap]
  const figures = await measureTransfer(lab, {
    sender: { command: process.execPath, args: [PROGRAM, ...sendArgs] },
    receivers: Array.from({ length: receiverCount }, () => ({
      command: process.execPath,
      args: [PROGRAM, 'recv', ...common],
    })),
    timeoutMs,
  })
  const { sentBytes, sendMs, receivedBytes } = JSON.parse(figures.sender.output) as StreamReport
  return {
    ...figures,
    ...(capBitsPerSec === undefined ? {} : { capBitsPerSec }),
    bitsPerSec: (sentBytes * 8000) / sendMs,
    isLossless: receivedBytes.every((bytes) => bytes === sentBytes),
  }
}

/** What the sending end prints. */
interface StreamReport {
  readonly sentBytes: number
  readonly sendMs: number
  /** Of each receiver. */
  readonly receivedBytes: readonly number[]
}
