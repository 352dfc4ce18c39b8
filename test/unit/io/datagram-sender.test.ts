import type { Socket } from 'node:dgram'
import { constants } from 'node:os'
import { expect, it } from 'vitest'
import { DatagramSender } from '../../../src/io/datagram-sender.ts'
import type { SendBatch } from '../../../src/io/message-batch.ts'
import { isTransientSendError } from '../../../src/io/network-error.ts'

interface Sent {
  readonly text: string
  readonly to: string
  readonly settle: (error: Error | null) => void
}

/** Stands for a dgram socket: keeps what is sent until the test settles it. */
class FakeSocket {
  readonly sent: Sent[] = []
  waitingCount = 0

  send(buffer: Uint8Array, at: number, length: number, port: number, address: string, settle: Sent['settle']): void {
    this.sent.push({
      text: new TextDecoder().decode(buffer.subarray(at, at + length)),
      to: `${address}:${port}`,
      settle,
    })
  }

  getSendQueueCount(): number {
    return this.waitingCount
  }

  /** Settles all that is sent, and all that is sent because of it. */
  settleAll(error: Error | null = null): string[] {
    const texts: string[] = []
    for (const { text, settle } of this.sent.splice(0)) {
      texts.push(text)
      settle(error)
    }
    return texts
  }
}

interface Rig {
  readonly socket: FakeSocket
  readonly sender: DatagramSender
  /** Every segment size that was set, in order. */
  readonly sizes: number[]
  /** What the callbacks of {@link send} were told, in order. */
  readonly results: (Error | undefined)[]
  readonly send: (text: string, segmentBytes: number) => void
}

function rig(setResult: number | 'no offload' = 0, batch?: SendBatch): Rig {
  const socket = new FakeSocket()
  const sizes: number[] = []
  const results: (Error | undefined)[] = []
  const set = (bytes: number): number => {
    sizes.push(bytes)
    return setResult === 'no offload' ? 0 : setResult
  }
  const sender = new DatagramSender(socket as unknown as Socket, 4, setResult === 'no offload' ? undefined : set, batch)
  const send = (text: string, segmentBytes: number): void => {
    const bytes = new TextEncoder().encode(text)
    sender.send(bytes, bytes.length, segmentBytes, '239.1.2.3', 9, (error) => results.push(error))
  }
  return { socket, sender, sizes, results, send }
}

const refusal = (code: string): Error => Object.assign(new Error(`send ${code}`), { code })

it('sends a run whole and sets the segment size once', () => {
  const { socket, sizes, results, send } = rig()
  send('aabbc', 2)
  send('ddee', 2)
  expect(socket.sent.map(({ to }) => to)).toEqual(['239.1.2.3:9', '239.1.2.3:9'])
  expect(results).toEqual([])
  expect(socket.settleAll()).toEqual(['aabbc', 'ddee'])
  expect(results).toEqual([undefined, undefined])
  expect(sizes).toEqual([2])
})

it('sends a run datagram by datagram without offload, and reports once', () => {
  const { socket, results, send } = rig('no offload')
  send('aabbc', 2)
  const [first, second, third] = socket.sent
  expect([first!.text, second!.text, third!.text]).toEqual(['aa', 'bb', 'c'])
  first!.settle(null)
  second!.settle(refusal('ENOBUFS'))
  expect(results).toEqual([])
  third!.settle(refusal('EPERM'))
  expect(results).toHaveLength(1)
  expect(isTransientSendError(results[0])).toBe(true)
})

it('does not mix up sends that end out of order, nor later ones with their errors', () => {
  const { socket, results, send } = rig()
  send('aa', 2)
  send('bb', 2)
  const [first, second] = socket.sent.splice(0)
  second!.settle(refusal('EPERM'))
  first!.settle(null)
  send('cc', 2)
  send('dd', 2)
  socket.settleAll()
  expect(results).toEqual([expect.objectContaining({ code: 'NETWORK_DENIED' }), undefined, undefined, undefined])
})

it('has a single datagram that is longer than the segment size leave in one piece', () => {
  const { socket, sizes, send } = rig()
  send('aabb', 2)
  send('cccc', 4)
  send('d', 1)
  send('eeff', 2)
  expect(sizes).toEqual([2, 0, 2])
  expect(socket.settleAll()).toEqual(['aabb', 'cccc', 'd', 'eeff'])
})

it('keeps the segment size for single datagrams that fit it', () => {
  const { sizes, send } = rig()
  send('aabb', 2)
  send('c', 1)
  send('dd', 2)
  send('e', 2)
  expect(sizes).toEqual([2])
})

it('does not change the segment size under sends that wait, and has the caller try again', async () => {
  const { socket, sender, sizes, results, send } = rig()
  send('aabb', 2)
  socket.waitingCount = 1
  send('cccddd', 3)
  expect(results).toEqual([])
  await new Promise((resolve) => process.nextTick(resolve))
  expect(results.map(isTransientSendError)).toEqual([true])
  socket.waitingCount = 0
  send('cccddd', 3)
  expect(sizes).toEqual([2, 3])
  expect(socket.settleAll()).toEqual(['aabb', 'cccddd'])
  expect(sender.isSegmenting).toBe(true)
})

it.each(['EIO', 'EINVAL', 'EMSGSIZE'])('falls back to single datagrams when a run is refused with %s', (code) => {
  const { socket, sender, sizes, results, send } = rig()
  send('aabb', 2)
  send('ccdd', 2)
  send('e', 1)
  socket.settleAll(refusal(code))
  expect(results).toEqual([])
  expect(sizes).toEqual([2, 0])
  send('ffgg', 2)
  expect(socket.settleAll()).toEqual(['aa', 'bb', 'cc', 'dd', 'e', 'ff', 'gg'])
  expect(results).toEqual([undefined, undefined, undefined, undefined])
  expect(sender.isSegmenting).toBe(false)
  expect(sender.refusal).toContain(code)
})

it('reports the same errors as they are when no segment size is set', () => {
  const { socket, sender, results, send } = rig()
  send('aa', 2)
  socket.settleAll(refusal('EMSGSIZE'))
  expect(results).toEqual([expect.objectContaining({ code: 'PACKET_TOO_LARGE' })])
  expect(sender.isSegmenting).toBe(true)
})

it('does not take other errors for a refusal', () => {
  const { socket, sender, results, send } = rig()
  send('aabb', 2)
  socket.settleAll(refusal('ENETUNREACH'))
  expect(results).toEqual([expect.objectContaining({ code: 'NO_MULTICAST_ROUTE' })])
  expect(sender.isSegmenting).toBe(true)
})

it('falls back when the kernel refuses the segment size itself', () => {
  const { socket, sender, send } = rig(-constants.errno.EINVAL)
  send('aabb', 2)
  expect(socket.settleAll()).toEqual(['aa', 'bb'])
  expect(sender.refusal).toBe('the kernel refused a segment size of 2 bytes')
})

it('fails sends after close, and does not send refused runs again', async () => {
  const { socket, sender, results, send } = rig()
  send('aabb', 2)
  sender.close()
  socket.settleAll(refusal('EIO'))
  send('cc', 2)
  await new Promise((resolve) => process.nextTick(resolve))
  expect(socket.sent).toEqual([])
  expect(results).toEqual([
    expect.objectContaining({ code: 'NETWORK_FAILED' }),
    expect.objectContaining({ message: 'cannot send to 239.1.2.3:9: the socket is closed' }),
  ])
})

it('takes what a datagram may hold over IPv6, and no more', () => {
  const socket = new FakeSocket()
  const sender = new DatagramSender(socket as unknown as Socket, 6, undefined)
  const send = (length: number): void =>
    sender.send(new Uint8Array(65_600), length, length, 'ff15::1', 9, () => undefined)
  send(65_527)
  expect(socket.sent.length).toBe(1)
  expect(() => send(65_528)).toThrow(RangeError)
})

it.each([
  ['empty', 0, 10],
  ['longer than its buffer', 65_601, 1472],
  ['longer than a datagram may be', 65_508, 1472],
  ['of too many segments', 65, 1],
  ['of segments of no length', 10, 0],
  ['of no number of bytes', Number.NaN, 10],
])('refuses a run that is %s', (_what, length, segmentBytes) => {
  const { sender } = rig()
  const done = (): never => {
    throw new Error('called')
  }
  expect(() => sender.send(new Uint8Array(65_600), length, segmentBytes, '239.1.2.3', 9, done)).toThrow(RangeError)
})

/** Takes up to so many bytes of each run; notes them, and how they are cut. */
function batchOf(takesBytes: number): { readonly batch: SendBatch; readonly runs: [number, number][] } {
  const runs: [number, number][] = []
  const send = (_: Uint8Array, length: number, messageBytes: number): number => {
    runs.push([length, messageBytes])
    return Math.min(takesBytes, length)
  }
  return { batch: { send } as unknown as SendBatch, runs }
}

const BYTES = new Uint8Array(10)

it('sends a run at once as one message with offload, and as its datagrams without', () => {
  const [whole, single] = [batchOf(10), batchOf(8)]
  const offload = rig(0, whole.batch)
  expect(offload.sender.sendNow(BYTES, 10, 4)).toBe(10)
  expect(offload.sender.sendNow(BYTES, 3, 3)).toBe(3)
  expect([offload.sizes, whole.runs]).toEqual([
    [4],
    [
      [10, 10],
      [3, 3],
    ],
  ])
  const plain = rig('no offload', single.batch)
  expect(plain.sender.sendNow(BYTES, 10, 4)).toBe(8)
  expect([plain.sizes, single.runs, plain.socket.sent]).toEqual([[], [[10, 4]], []])
})

it('sends nothing at once while something waits, after it is closed, and without a batch', () => {
  const { batch, runs } = batchOf(10)
  const { sender, socket } = rig(0, batch)
  socket.waitingCount = 1
  expect(sender.sendNow(BYTES, 10, 4)).toBe(0)
  socket.waitingCount = 0
  sender.close()
  expect(sender.sendNow(BYTES, 10, 4)).toBe(0)
  expect(rig().sender.sendNow(BYTES, 10, 4)).toBe(0)
  expect(runs).toEqual([])
  expect(() => sender.sendNow(BYTES, 11, 4)).toThrow(RangeError)
})

it('cuts a run into its datagrams at once when the kernel refuses the segment size', () => {
  const { batch, runs } = batchOf(10)
  const { sender } = rig(-constants.errno.EINVAL, batch)
  expect(sender.sendNow(BYTES, 10, 4)).toBe(10)
  expect([sender.isSegmenting, runs]).toEqual([false, [[10, 4]]])
})
