// Receives an image into a file or block device:
//   node receive-file.js target.raw eth0 [group]
import { receive, SkilfishError } from 'skilfish'

const [target = 'target.raw', networkInterface = 'eth0', group = '239.192.83.75:9757'] = process.argv.slice(2)
try {
  const transfer = receive({ target, group, interface: networkInterface, startTimeoutMs: 60_000 })
  const { imageName, imageBytes, rootDigest } = await transfer.finished
  console.log(`received ${imageName}: ${imageBytes} bytes, digest ${rootDigest}`)
} catch (error) {
  if (!(error instanceof SkilfishError)) throw error
  console.error(`${error.message}. ${error.remedy}.`)
  process.exitCode = error.exitStatus
}
