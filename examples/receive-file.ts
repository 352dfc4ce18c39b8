// Receives an image into a file or block device:  node receive-file.js target.raw [interface]
import { receive, SkilfishError } from 'skilfish'

const [target = '', networkInterface] = process.argv.slice(2)
try {
  const result = await receive({
    target,
    ...(networkInterface === undefined ? {} : { interface: networkInterface }),
    startTimeoutMs: 60_000,
  }).finished
  console.log(`${result.imageName}: ${result.imageBytes} bytes, ${result.rootDigest}`)
} catch (error) {
  if (!(error instanceof SkilfishError)) throw error
  console.error(`${error.message}. ${error.remedy}.`)
  process.exitCode = error.exitStatus
}
