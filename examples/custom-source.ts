// A source of one's own is any async iterable of extents. This one puts an image of 64 MiB together from two files: the first
// goes to its start, the second to 1 MiB. What no extent covers is a hole, and is not sent.
//   node custom-source.js boot.img root.img eth0 [group]
import { createReadStream } from 'node:fs'
import { send, type Extent, type StreamSource } from 'skilfish'

const MIB = 1024 * 1024
const [boot = 'boot.img', root = 'root.img', networkInterface = 'eth0', group = '239.192.83.75:9757'] =
  process.argv.slice(2)

async function* extentsOf(path: string, start: number): AsyncGenerator<Extent> {
  let offset = start
  for await (const data of createReadStream(path) as AsyncIterable<Buffer>) {
    yield { offset, data }
    offset += data.length
  }
}

const source: StreamSource = {
  label: `${boot} and ${root}`,
  sizeBytes: 64 * MIB,
  async *extents() {
    yield* extentsOf(boot, 0)
    yield* extentsOf(root, MIB)
  },
}

const { dataBytes, holeBytes } = await send({ source, group, interface: networkInterface }).finished
console.log(`sent ${dataBytes} bytes of data, skipped ${holeBytes} bytes of holes`)
