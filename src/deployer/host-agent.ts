import { createInterface } from 'node:readline'
import { ERROR_TABLE, SkilfishError, type ErrorCode } from '../errors.ts'
import { Program, systemReason } from '../io/index.ts'
import type { HostPlan } from './cluster-file.ts'
import {
  AGENT_VERSION,
  ALIVE_MS,
  type StepHooks,
  type StepMessage,
  type StepOrder,
  type StepRequest,
  type StepResults,
} from './host-protocol.ts'
import { runStep } from './host/index.ts'

/** How long a program may take to end once its step is given up, milliseconds. */
const STOP_GRACE_MS = 10_000

/** How long it may take until a host says its first line: Slurm may have to wait for a place, milliseconds. */
const START_PATIENCE_MS = 120_000

/** How long a host may be silent then before it is taken for lost, milliseconds; it says something every {@link ALIVE_MS}. */
const SILENCE_MS = 20_000

/** Longest line that a host may say, characters. */
const MAX_LINE_LENGTH = 1024 * 1024

/** A host that was asked for a step has not answered, or cannot be asked: nobody knows what runs there. */
export class HostLostError extends SkilfishError {
  constructor(text: string) {
    super('HOST_FAILED', text)
    this.name = 'HostLostError'
  }
}

/** A host, and how steps are done there: in this process, or by `skilfish host` through the command that leads to it. */
export class HostAgent {
  readonly plan: HostPlan

  constructor(plan: HostPlan) {
    this.plan = plan
  }

  /**
   * Does a step on the host.
   * @throws HostLostError when the host does not answer; SkilfishError with what the step fails with there
   */
  async run<Step extends StepRequest['step']>(
    request: StepRequest & { readonly step: Step },
    hooks: StepHooks,
  ): Promise<StepResults[Step]> {
    const { program } = this.plan
    if (program === undefined) return (await runStep(request, hooks)) as StepResults[Step]
    return (await this.#runRemotely([...this.plan.through, ...program, 'host'], request, hooks)) as StepResults[Step]
  }

  async #runRemotely(command: readonly string[], request: StepRequest, hooks: StepHooks): Promise<object> {
    hooks.signal.throwIfAborted()
    const process = new Program(command[0]!, command.slice(1))
    // Its standard input stays open: when that ends or is silent, whoever asked is gone.
    const stop = (): void => void process.stop(STOP_GRACE_MS)
    hooks.signal.addEventListener('abort', stop, { once: true })
    process.stdin.write(`${JSON.stringify({ version: AGENT_VERSION, request })}\n`)
    hooks.onCapChange?.((maxBitrate) => {
      const order: StepOrder = { maxBitrate: maxBitrate ?? null }
      process.stdin.write(`${JSON.stringify(order)}\n`)
    })
    const alive = setInterval(() => process.stdin.write('\n'), ALIVE_MS)
    let lost: string | undefined
    const lose = (patienceMs: number) => () => {
      lost = `nothing was heard of the host for ${patienceMs / 1000} s`
      void process.stop(0)
    }
    let silence = setTimeout(lose(START_PATIENCE_MS), START_PATIENCE_MS)
    let answer: StepMessage | undefined
    createInterface({ input: process.stdout }).on('line', (line) => {
      const message = parseMessage(line)
      if (message === undefined) return
      clearTimeout(silence)
      silence = setTimeout(lose(SILENCE_MS), SILENCE_MS)
      if (message.type === 'progress') hooks.onProgress(message.percent, message.bitsPerSec)
      else if (message.type !== 'alive') answer = message
      if (answer !== undefined) process.stdin.end()
    })
    try {
      const end = await process.ended
      hooks.signal.throwIfAborted()
      if (answer?.type === 'result') return answer.result
      if (answer?.type === 'error') {
        const code = answer.code in ERROR_TABLE ? (answer.code as ErrorCode) : 'HOST_FAILED'
        throw new SkilfishError(code, answer.message)
      }
      const how =
        end.kind === 'not-started'
          ? systemReason(end.cause)
          : process.said || `it ended without an answer (${end.kind})`
      throw new HostLostError(`cannot run ${command.join(' ')}: ${lost ?? how}`)
    } finally {
      clearTimeout(silence)
      clearInterval(alive)
      hooks.signal.removeEventListener('abort', stop)
      await process.stop(STOP_GRACE_MS)
    }
  }
}

/** Anything else on standard output is somebody's greeting. */
function parseMessage(line: string): StepMessage | undefined {
  if (line.length > MAX_LINE_LENGTH || !line.startsWith('{"type":')) return undefined
  try {
    return JSON.parse(line) as StepMessage
  } catch {
    return undefined
  }
}
