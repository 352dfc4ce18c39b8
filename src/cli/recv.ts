import { keepFreedMemory } from '../io/index.ts'
import { receive, verifyTarget, type ReceiveOptions, type VerifyOptions } from '../receiver/index.ts'
import { checkedByLibrary } from './failure.ts'
import { runProgram, type Ending, type ProgramContext } from './program.ts'
import { parseReceiveCommand } from './receive-command.ts'
import { receiveOutcome, receiveUpdate, verifyOutcome, verifyUpdate } from './receive-view.ts'

/** How often progress is told, milliseconds. */
const PROGRESS_INTERVAL_MS = 250

void runProgram({
  name: 'skilfish-recv',
  parse: () => parseReceiveCommand(process.argv.slice(2), process.env['SKILFISH_DROP']),
  // Standard output may be the target.
  streams: (command) => ({
    json: 'options' in command && command.options.target === '-' ? process.stderr : process.stdout,
    text: process.stderr,
  }),
  run: (command, context) =>
    'verify' in command ? verify(command.verify, context) : run(command.options, command.output.isVerbose, context),
})

async function run(
  options: ReceiveOptions & { readonly target: string },
  isVerbose: boolean,
  context: ProgramContext,
): Promise<Ending> {
  const { output, interruption } = context
  keepFreedMemory()
  const handle = checkedByLibrary(() =>
    receive({
      ...options,
      signal: interruption.signal,
      onProgress: (progress) => output.progress(receiveUpdate(progress)),
      onLog: (line) => output.log(line),
    }),
  )
  return { outcome: receiveOutcome(await handle.finished, options.target, isVerbose) }
}

async function verify(options: VerifyOptions, { output, interruption }: ProgramContext): Promise<Ending> {
  const beganMs = performance.now()
  let toldMs = beganMs
  const onProgress = (positionBytes: number, imageBytes: number): void => {
    const nowMs = performance.now()
    if (nowMs - toldMs < PROGRESS_INTERVAL_MS) return
    toldMs = nowMs
    output.progress(verifyUpdate(positionBytes, imageBytes, nowMs - beganMs))
  }
  const result = await verifyTarget({ ...options, signal: interruption.signal, onProgress })
  return { outcome: verifyOutcome(result, options.target, performance.now() - beganMs) }
}
