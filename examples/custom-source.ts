// A source of one's own: any async iterable of extents. This one makes a 64 MiB image with a little data in it.
//   node custom-source.js [interface]
import { send, type Extent, type StreamSource } from 'skilfish'

const MIB = 1024 * 1024

const source: StreamSource = {
  label: 'made up',
  sizeBytes: 64 * MIB,
  async *extents(): AsyncGenerator<Extent> {
    for (let offset = 0; offset < 64 * MIB; offset += 16 * MIB) {
      yield await Promise.resolve({ offset, data: new Uint8Array(MIB).fill(1 + offset / MIB) })
    }
  },
}

const [networkInterface] = process.argv.slice(2)
const result = await send({
  source,
  ...(networkInterface === undefined ? {} : { interface: networkInterface }),
  imageId: 'example-1',
}).finished
console.log(`${result.dataBytes} bytes of data, ${result.holeBytes} bytes of holes`)
