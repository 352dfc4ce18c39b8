import { adviceOf, listen, probe, type PathFindings } from '../probe/index.ts'
import { formatBitrate } from '../ratelimit/index.ts'
import { parseProbeCommand, type ProbeCommand } from './probe-command.ts'
import { runProgram, type Ending, type ProgramContext } from './program.ts'
import { formatBytes, formatCount, formatShare, formatTable, formatTime } from './quantities.ts'

void runProgram({
  name: 'skilfish-probe',
  parse: () => parseProbeCommand(process.argv.slice(2)),
  run,
})

async function run(command: ProbeCommand, { output, interruption }: ProgramContext): Promise<Ending> {
  const hooks = { signal: interruption.signal, onLog: (line: string) => output.log(line) }
  if ('listen' in command) {
    const result = await listen({ ...command.listen, ...hooks })
    return { outcome: { raw: result, summary: [`probed by ${result.prober}, which says what was found`] } }
  }
  const result = await probe({ ...command.probe, ...hooks })
  const advice = adviceOf(result)
  const summary = [
    `${formatCount(result.listeners.length, 'host')} answered`,
    ...result.listeners.flatMap((path) => [
      `${path.name} (${path.address})`,
      ...formatTable(rowsOf(path, result.sentCount)),
    ]),
    ...(advice.length === 0 ? ['nothing to change'] : ['to change:', ...advice.map((line) => `  - ${line}`)]),
  ]
  return { outcome: { raw: { ...result, advice }, summary } }
}

function rowsOf(path: PathFindings, sentCount: number): [string, string][] {
  const { mtuBytes, receivedCount, droppedCount, recvBufferBytes, diskBytesPerSec, roundTripMs } = path
  const lostCount = Math.max(0, sentCount - receivedCount)
  return [
    ['round trip', formatTime(roundTripMs)],
    ['MTU', mtuBytes === undefined ? 'no packet arrived' : `${mtuBytes} bytes`],
    [
      'lost',
      `${formatShare(lostCount, sentCount)} of ${formatCount(sentCount, 'packet')}, ${droppedCount} at its socket`,
    ],
    ['receive buffer', formatBytes(recvBufferBytes)],
    ...(diskBytesPerSec === undefined ? [] : [['disk', formatBitrate(diskBytesPerSec * 8)] as [string, string]]),
  ]
}
