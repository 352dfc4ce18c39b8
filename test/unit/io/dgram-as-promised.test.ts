// Why sockets are node:dgram: docs/decisions/0001-node-dgram-instead-of-dgram-as-promised.md. The package is installed for this
// test alone.
import { createSocket } from 'node:dgram'
import { setImmediate } from 'node:timers/promises'
import { DgramAsPromised } from 'dgram-as-promised'
import { describe, expect, it } from 'vitest'

/** Few enough that the socket's buffer holds them all: what is missing was lost above the kernel. */
const DATAGRAM_COUNT = 200

/** How many datagrams a consumer of `recv()` gets that does `work` after each. Ends when the kernel has handed up all of them. */
async function countConsumed(work: () => Promise<void>): Promise<number> {
  const socket = DgramAsPromised.createSocket('udp4')
  const { port } = await socket.bind(0, '127.0.0.1')
  let arrived = 0
  socket.socket.on('message', () => {
    if (++arrived === DATAGRAM_COUNT) void setImmediate().then(() => socket.close())
  })
  const peer = createSocket('udp4')
  for (let index = 0; index < DATAGRAM_COUNT; index++) peer.send('datagram', port, '127.0.0.1')

  let consumed = 0
  while ((await socket.recv()) !== undefined) {
    consumed++
    await work()
  }
  peer.close()
  return consumed
}

describe('dgram-as-promised', () => {
  it('loses datagrams while its consumer awaits something else', async () => {
    expect(await countConsumed(() => setImmediate())).toBeLessThan(DATAGRAM_COUNT / 2)
  })

  it('hands all of them to a consumer that awaits nothing else', async () => {
    expect(await countConsumed(() => Promise.resolve())).toBe(DATAGRAM_COUNT)
  })

  it('cannot tell the size of its send buffer', async () => {
    const socket = DgramAsPromised.createSocket('udp4')
    expect(() => socket.getSendBufferSize()).toThrow(RangeError)
    await socket.close()
  })
})
