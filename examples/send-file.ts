// Sends a file or block device to every receiver of the default group:  node send-file.js disk.raw [interface]
import { send } from 'skilfish'

const [source = '', networkInterface] = process.argv.slice(2)
const transfer = send({
  source,
  ...(networkInterface === undefined ? {} : { interface: networkInterface }),
  maxBitrate: 320e6,
  onLog: (line) => console.error(line),
})
for await (const { percent, receivers } of transfer.progress()) {
  console.error(`${percent?.toFixed(0) ?? '?'} %, ${receivers.length} receivers`)
}
const { wireBytes } = (await transfer.finished).stats
console.log(`sent in ${wireBytes} bytes`)
