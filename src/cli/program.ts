import type { OutputChoice } from './shared-options.ts'
import { createOutput, type OutputStreams } from './create-output.ts'
import { describeFailure, failureText } from './failure.ts'
import { Interruption } from './interruption.ts'
import { LineWriter } from './line-writer.ts'
import type { Outcome, Output } from './output.ts'
import { ignoreStraySignals } from './stray-signals.ts'

/** What a program has while it runs. */
export interface ProgramContext {
  readonly output: Output
  readonly interruption: Interruption
}

/** How a program ended: with an outcome, a failure, or a failure that left an outcome all the same. */
export interface Ending {
  readonly outcome?: Outcome
  readonly error?: unknown
}

interface RunnableCommand {
  readonly kind: 'run'
  readonly output: OutputChoice
}

/**
 * The frame of a program: reads the arguments, runs, tells the outcome, and ends the process with the status that
 * `docs/errors.md` has for it.
 */
export async function runProgram<Command extends RunnableCommand>(options: {
  readonly name: string
  readonly parse: () => Command | { readonly kind: 'text'; readonly text: string }
  /** Default: JSON to standard output, text to standard error. */
  readonly streams?: (command: Command) => OutputStreams
  /** What Ctrl-C is answered with, for programs that have more to say than how to end at once. */
  readonly stopping?: (command: Command) => string | undefined
  readonly run: (command: Command, context: ProgramContext) => Promise<Ending>
}): Promise<never> {
  const { name } = options
  ignoreStraySignals()
  const command = await parsed(name, options.parse)
  // Not before it is known that they may be touched: standard output may be the target.
  const streams = options.streams?.(command) ?? { json: process.stdout, text: process.stderr }
  const output = createOutput(name, command.output, streams, process.env)
  const interruption = new Interruption({
    onFirst: () => output.note(options.stopping?.(command) ?? 'stopping; press Ctrl-C again to end at once'),
    // The display goes at once; what is not yet written is left.
    onSecond: () => void output.close(),
  })
  let status = 0
  const end = async (ending: Ending): Promise<void> => {
    if (ending.error === undefined) {
      if (ending.outcome !== undefined) output.result(ending.outcome)
    } else {
      const failure = describeFailure(ending.error)
      output.fail(failure, ending.outcome)
      status = failure.exitStatus
    }
    await output.close()
  }
  process.on('uncaughtException', (error) => void end({ error }).finally(() => process.exit(status)))
  const ending = await options.run(command, { output, interruption }).catch((error: unknown): Ending => ({ error }))
  await end(ending)
  process.exit(status)
}

/** The command, or the end of the process when there is nothing to run. */
async function parsed<Command extends RunnableCommand>(
  name: string,
  parse: () => Command | { readonly kind: 'text'; readonly text: string },
): Promise<Command> {
  try {
    const command = parse()
    if (command.kind === 'run') return command
    await printAndExit(process.stdout, command.text.trimEnd(), 0)
  } catch (error) {
    const failure = describeFailure(error)
    await printAndExit(process.stderr, failureText(name, failure), failure.exitStatus)
  }
  throw new Error('unreachable: the process has ended')
}

async function printAndExit(stream: NodeJS.WriteStream, text: string, status: number): Promise<never> {
  const writer = new LineWriter(stream)
  writer.write(text)
  await writer.flush()
  process.exit(status)
}
