import { createInterface } from 'node:readline'
import { AGENT_VERSION, runStep, type StepMessage, type StepRequest } from '../deployer/index.ts'
import { SkilfishError } from '../errors.ts'
import { describeFailure } from './failure.ts'

/** Time between two lines of progress, milliseconds. */
const PROGRESS_MS = 250

/**
 * `skilfish host`: does one step on this host, for a deployer. The request is the first line of standard input; when that ends before
 * the step, the deployer is gone, and the step is given up. Answers on standard output, a line of JSON each.
 * @returns the status to exit with
 */
export async function runHostCommand(): Promise<number> {
  const aborted = new AbortController()
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  const tell = (message: StepMessage): Promise<void> =>
    new Promise((resolve) => process.stdout.write(`${JSON.stringify(message)}\n`, () => resolve()))
  // Ctrl-C on a terminal is for the deployer, which then ends the standard input here.
  process.on('SIGINT', () => undefined)
  process.stdout.on('error', () => aborted.abort())
  try {
    const request = readRequest((await lines.next()).value)
    void lines.next().then(({ done }) => {
      if (done === true) aborted.abort()
    })
    let nextMs = 0
    const onProgress = (percent: number, bitsPerSec: number): void => {
      if (performance.now() < nextMs) return
      nextMs = performance.now() + PROGRESS_MS
      void tell({ type: 'progress', percent, bitsPerSec })
    }
    await tell({ type: 'result', result: await runStep(request, { signal: aborted.signal, onProgress }) })
    return 0
  } catch (error) {
    const { code, message, exitStatus } = describeFailure(error)
    await tell({ type: 'error', code, message })
    return exitStatus
  }
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
