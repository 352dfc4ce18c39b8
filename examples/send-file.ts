// Sends a file or block device to every receiver of a group:
//   node send-file.js disk.raw eth0 [group]
import { send, SkilfishError } from 'skilfish'

const [source = 'disk.raw', networkInterface = 'eth0', group = '239.192.83.75:9757'] = process.argv.slice(2)
const transfer = send({
  source,
  group,
  interface: networkInterface,
  maxBitrate: 320e6,
  startTimeoutMs: 60_000,
  onLog: (line) => console.error(line),
})
try {
  for await (const { phase, percent, receivers } of transfer.progress()) {
    console.error(`${phase}: ${percent?.toFixed(0) ?? '?'} %, ${receivers.length} receivers`)
  }
  const { imageBytes, stats } = await transfer.finished
  console.log(`sent ${imageBytes} bytes as ${stats.wireBytes} on the wire`)
} catch (error) {
  if (!(error instanceof SkilfishError)) throw error
  console.error(`${error.message}. ${error.remedy}.`)
  process.exitCode = error.exitStatus
}
