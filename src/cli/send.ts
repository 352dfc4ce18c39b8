import { keepFreedMemory } from '../io/index.ts'
import { formatBitrate } from '../ratelimit/index.ts'
import { ReceiversFailedError, send, type SendHandle, type SendProgress } from '../sender/index.ts'
import { checkedByLibrary } from './failure.ts'
import type { Interruption } from './interruption.ts'
import type { Output } from './output.ts'
import { runProgram, type Ending, type ProgramContext } from './program.ts'
import { RateMeter } from './rate-meter.ts'
import { scaledCap } from './scaled-cap.ts'
import { parseSendCommand, type SendCommand } from './send-command.ts'
import { sendOutcome, sendUpdate } from './send-view.ts'
import { isForegroundProcess, listenForKey } from './start-key.ts'

void runProgram({
  name: 'skilfish-send',
  parse: () => parseSendCommand(process.argv.slice(2)),
  run,
})

async function run(command: SendCommand, { output, interruption }: ProgramContext): Promise<Ending> {
  const { options } = command
  keepFreedMemory()
  const { minReceivers = 1 } = options
  const isKeyHeard = canHearKeys(command)
  const meter = new RateMeter()
  let latest: SendProgress | undefined
  let stopListening = (): void => undefined

  const onProgress = (progress: SendProgress): void => {
    latest = progress
    meter.count(progress.elapsedMs, progress.stats.wireBytes)
    if (progress.phase !== 'gathering') stopListening()
    output.progress(sendUpdate(progress, meter.bitsPerSec, { minReceivers, isKeyHeard }))
  }
  const handle = checkedByLibrary(() =>
    send({ ...options, signal: interruption.signal, onProgress, onLog: (line) => output.log(line) }),
  )
  if (isKeyHeard) stopListening = startOnKey(handle, output, interruption)
  obeyRateSignals(handle, output, () => presentRate(latest, meter))
  try {
    return { outcome: sendOutcome(await handle.finished, command.output.isVerbose) }
  } catch (error) {
    if (!(error instanceof ReceiversFailedError)) return { error }
    return { error, outcome: sendOutcome(error.result, command.output.isVerbose) }
  } finally {
    stopListening()
  }
}

/** Keys are heard only where somebody sees that they are, and where they are not the image. */
function canHearKeys({ options, output, isKeyboardWanted }: SendCommand): boolean {
  if (!isKeyboardWanted || output.isJson || output.isQuiet || options.source === '-') return false
  return process.stdin.isTTY && process.stderr.isTTY && isForegroundProcess()
}

function startOnKey(handle: SendHandle, output: Output, interruption: Interruption): () => void {
  const onKey = (): void => {
    output.note('started by a key')
    handle.start()
  }
  return listenForKey(process.stdin, { onKey, onInterrupt: () => interruption.trigger() })
}

/** What is sent at present; before anything is, what would be. */
function presentRate(latest: SendProgress | undefined, meter: RateMeter): number {
  return latest?.phase === 'sending' ? meter.bitsPerSec : (latest?.stats.rateBitsPerSec ?? 0)
}

/** SIGUSR1 doubles the cap, SIGUSR2 halves it; without a cap, the present rate is what they scale. */
function obeyRateSignals(handle: SendHandle, output: Output, rateBitsPerSec: () => number): void {
  const scale = (factor: number): void => {
    const cap = scaledCap(handle.maxBitrate, rateBitsPerSec(), factor)
    handle.setMaxBitrate(cap)
    output.note(`at most ${formatBitrate(cap)} from now on`)
  }
  process.on('SIGUSR1', () => scale(2))
  process.on('SIGUSR2', () => scale(0.5))
}
