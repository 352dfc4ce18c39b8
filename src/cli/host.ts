import { createInterface } from 'node:readline'
import {
  AGENT_VERSION,
  ALIVE_MS,
  runStep,
  type StepMessage,
  type StepOrder,
  type StepRequest,
} from '../deployer/host/index.ts'
import { EXIT_STATUS, SkilfishError } from '../errors.ts'
import { giveWay } from './background.ts'
import { describeFailure } from './failure.ts'
import { ignoreStraySignals } from './stray-signals.ts'

/** Time between two lines of progress, milliseconds. */
const PROGRESS_MS = 250

/** How long the deployer may be silent before it is taken for gone, milliseconds: less than its lease holds. */
const SILENCE_MS = 30_000

/** How long a step that is given up may take to end, milliseconds. All of them may end anywhere. */
const END_GRACE_MS = 5000

void runHost().then((status) => process.exit(status))

/**
 * `skilfish host`: does one step on this host, for a deployer. The request is the first line of standard input, and orders or empty
 * lines follow while somebody waits for it; when they end before the step, the deployer is gone, and the step is given up. Answers on standard
 * output, a line of JSON each.
 * @returns the status to exit with
 */
async function runHost(): Promise<number> {
  ignoreStraySignals()
  const aborted = new AbortController()
  const giveUp = (): void => {
    if (aborted.signal.aborted) return
    setTimeout(() => process.exit(EXIT_STATUS.interrupted), END_GRACE_MS).unref()
    aborted.abort()
  }
  const tell = (message: StepMessage): Promise<void> =>
    new Promise((resolve) => process.stdout.write(`${JSON.stringify(message)}\n`, () => resolve()))
  // Ctrl-C on a terminal is for the deployer, which then ends the standard input here.
  process.on('SIGINT', () => undefined)
  process.stdout.on('error', giveUp)
  let setCap: (maxBitrate: number | undefined) => void = () => undefined
  // It may come before the step that it is for has begun.
  let order: StepOrder | undefined
  const first = await firstLine(giveUp, (latest) => {
    order = latest
    setCap(latest.maxBitrate ?? undefined)
  })
  const alive = setInterval(() => void tell({ type: 'alive' }), ALIVE_MS)
  try {
    const request = readRequest(first)
    // QEMU, which that step starts, is what all others give way to.
    if (request.step !== 'boot') giveWay()
    await tell({ type: 'alive' })
    let nextMs = 0
    const onProgress = (percent: number, bitsPerSec: number): void => {
      if (performance.now() < nextMs) return
      nextMs = performance.now() + PROGRESS_MS
      void tell({ type: 'progress', percent, bitsPerSec })
    }
    const onCapChange = (listener: typeof setCap): void => {
      setCap = listener
      if (order !== undefined) listener(order.maxBitrate ?? undefined)
    }
    const result = await runStep(request, { signal: aborted.signal, onProgress, onCapChange })
    await tell({ type: 'result', result })
    return 0
  } catch (error) {
    const { code, message, exitStatus } = describeFailure(error)
    await tell({ type: 'error', code, message })
    return exitStatus
  } finally {
    clearInterval(alive)
  }
}

/**
 * Reads the first line of standard input, of any length; calls `onOrder` for what follows, and `onGone` when that ends or nothing more has
 * come for too long.
 */
function firstLine(onGone: () => void, onOrder: (order: StepOrder) => void): Promise<string | undefined> {
  let isFirst = true
  return new Promise((resolve) => {
    const silence = setTimeout(onGone, SILENCE_MS)
    // A request may have some 50 MB, and the way here be slow.
    process.stdin.on('data', () => silence.refresh())
    createInterface({ input: process.stdin })
      .on('line', (line) => {
        if (isFirst) resolve(line)
        else if (line.startsWith('{"maxBitrate":')) onOrder(JSON.parse(line) as StepOrder)
        isFirst = false
      })
      .on('close', () => {
        clearTimeout(silence)
        resolve(undefined)
        onGone()
      })
  })
}

/** @throws SkilfishError HOST_FAILED for what no deployer of this version asks */
function readRequest(line: unknown): StepRequest {
  const fail = (text: string): SkilfishError => new SkilfishError('HOST_FAILED', `cannot do a step: ${text}`)
  if (typeof line !== 'string' || !line.startsWith('{"version":')) {
    throw fail('standard input holds no request; only a deployer calls skilfish host')
  }
  const { version, request } = JSON.parse(line) as { version: number; request: StepRequest }
  if (version === AGENT_VERSION) return request
  throw fail(`skilfish here speaks version ${AGENT_VERSION} of requests, the deployer ${version}; install the same`)
}
