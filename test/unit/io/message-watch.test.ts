import { createSocket } from 'node:dgram'
import { describe, expect, it, vi } from 'vitest'
import { loadLibc } from '../../../src/io/libc.ts'
import type { UdpSocket } from '../../../src/io/udp-socket.ts'
import { expectFailure } from './expect-failure.ts'
import { loopbackSetting, nextDatagrams, openSocket, sendRun, sendTo, text } from './own-udp-sockets.ts'

/** Sockets that Node.js listens to. */
const listenedCount = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'UDPWrap').length

/** Sends one message after the other for as long as told to. @returns how many */
async function stream(sender: UdpSocket, goesOn: () => boolean): Promise<number> {
  let count = 0
  while (goesOn()) {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(count++)
    await sendRun(sender, bytes)
    await new Promise(setImmediate)
  }
  return count
}

interface Heard {
  readonly numbers: number[]
  batchCount: number
  from: [string, number]
}

function hear(receiver: UdpSocket): Heard {
  const heard: Heard = { numbers: [], batchCount: 0, from: ['', 0] }
  receiver.onMessage = (bytes, { address, port }) => {
    for (let at = 0; at < bytes.length; at += 4) heard.numbers.push(Buffer.from(bytes).readUInt32BE(at))
    heard.from = [address, port]
  }
  receiver.onBatchEnd = () => heard.batchCount++
  return heard
}

// A receive buffer that is large enough takes the privilege.
describe.runIf(loadLibc() !== undefined && process.getuid?.() === 0)('a receiver to which many messages come', () => {
  it('looks for them now and then, and hears each; is told of each again when they no longer come', async () => {
    const setting = await loopbackSetting()
    const receiver = await openSocket({ ...setting, role: 'receiver' })
    const sender = await openSocket({ ...setting, role: 'sender' })
    const heard = hear(receiver)
    for (let round = 0; round < 2; round++) {
      await vi.waitFor(() => expect(listenedCount()).toBe(2))
      const numbersBefore = heard.numbers.length
      let batchesBefore = 0
      const count = await stream(sender, () => {
        if (listenedCount() === 2) batchesBefore = heard.batchCount
        return heard.numbers.length < numbersBefore + 2000
      })
      await vi.waitFor(() => expect(heard.numbers.length).toBe(numbersBefore + count))
      expect(heard.numbers.slice(numbersBefore)).toEqual([...Array(count).keys()])
      expect(heard.batchCount - batchesBefore).toBeLessThan(count / 4)
      const feedback = nextDatagrams(sender, 1)
      await sendTo(receiver, text('here'), ...heard.from)
      expect(String((await feedback).datagrams[0])).toBe('here')
      await vi.waitFor(() => expect(listenedCount()).toBe(2), { timeout: 10_000 })
      const { batchCount } = heard
      await sendRun(sender, text('once'))
      await vi.waitFor(() => expect(heard.batchCount).toBe(batchCount + 1))
    }
  })

  it('gives the port back when it is closed', async () => {
    const setting = await loopbackSetting()
    const receiver = await openSocket({ ...setting, role: 'receiver' })
    const sender = await openSocket({ ...setting, role: 'sender' })
    const heard = hear(receiver)
    await vi.waitFor(() => expect(listenedCount()).toBe(2))
    await stream(sender, () => listenedCount() === 2)
    await receiver.close()
    await expectFailure(sendTo(receiver, text('x'), '127.0.0.1', 9), 'NETWORK_FAILED', 'the socket is closed')
    const holder = createSocket('udp4')
    await new Promise<void>((resolve) => holder.bind(setting.group.port, resolve))
    await new Promise<void>((resolve) => holder.close(resolve))
    const { length } = heard.numbers
    await sendRun(sender, text('more'))
    expect(heard.numbers.length).toBe(length)
  })
})
