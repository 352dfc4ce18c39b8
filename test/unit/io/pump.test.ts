import { afterEach, expect, it, vi } from 'vitest'
import { MachinePump, type PumpedMachine } from '../../../src/io/pump.ts'
import type { SendCallback } from '../../../src/io/datagram-sender.ts'
import type { UdpSocket } from '../../../src/io/udp-socket.ts'

const RUN_BYTES = 3000
const SEGMENT_BYTES = 1000

/** Takes so many bytes of each run at once, and keeps the rest until the test lets it go. */
class FakeSocket {
  takesBytes = RUN_BYTES
  readonly sent: string[] = []
  readonly waiting: SendCallback[] = []
  onMessage: UdpSocket['onMessage'] = () => undefined
  onBatchEnd = (): void => undefined

  sendToGroupNow(buffer: Uint8Array, length: number): number {
    const taken = Math.min(length, this.takesBytes)
    if (taken > 0) this.sent.push(`now ${buffer[0]} ${taken}`)
    return taken
  }

  sendToGroup(buffer: Uint8Array, length: number, _segmentBytes: number, done: SendCallback): void {
    this.sent.push(`later ${buffer[0]} ${length}`)
    this.waiting.push(done)
  }
}

/** Has so many runs to send, each filled with the number of its datagram. */
class FakeMachine implements PumpedMachine {
  leftCount: number
  readonly heard: number[] = []
  handledTimeouts = 0

  constructor(runCount: number) {
    this.leftCount = runCount
  }

  handleDatagram(_nowUs: number, _from: unknown, bytes: Uint8Array): void {
    this.heard.push(bytes.length)
  }

  handleTimeout(): void {
    this.handledTimeouts++
  }

  pollTransmit(_nowUs: number, into: Uint8Array): { bytes: number; segmentBytes: number } | undefined {
    if (this.leftCount === 0) return undefined
    this.leftCount--
    for (let at = 0; at < RUN_BYTES; at++) into[at] = Math.floor(at / SEGMENT_BYTES)
    return { bytes: RUN_BYTES, segmentBytes: SEGMENT_BYTES }
  }

  pollTimeout(): number | undefined {
    return undefined
  }
}

let pump: MachinePump | undefined
afterEach(() => pump?.stop())

function pumpOf(machine: FakeMachine, socket: FakeSocket): { pump: MachinePump; progress: ReturnType<typeof vi.fn> } {
  const progress = vi.fn()
  const made = new MachinePump(machine, socket as unknown as UdpSocket, {
    onProgress: progress,
    onError: (error) => {
      throw error
    },
  })
  pump = made
  return { pump: made, progress }
}

it('hands eight runs to the kernel in one turn of the event loop, and the rest in the next ones', async () => {
  const [machine, socket] = [new FakeMachine(20), new FakeSocket()]
  const { pump } = pumpOf(machine, socket)
  let isDrained = false
  const drained = pump.drained().then(() => (isDrained = true))
  expect(socket.sent).toEqual(Array(8).fill('now 0 3000'))
  // More work in the same turn does not make more turns.
  pump.run()
  expect(socket.sent).toHaveLength(16)
  await Promise.resolve()
  expect(isDrained).toBe(false)
  await drained
  expect([machine.leftCount, socket.sent.length]).toEqual([0, 20])
})

it('sends what the kernel does not take later, from where it stopped, and goes on then', async () => {
  const [machine, socket] = [new FakeMachine(10), new FakeSocket()]
  socket.takesBytes = 2000
  const { pump } = pumpOf(machine, socket)
  const drained = pump.drained()
  // No more than eight wait at once.
  expect(socket.sent).toEqual(Array(8).fill(['now 0 2000', 'later 2 1000']).flat())
  expect(machine.leftCount).toBe(2)
  socket.takesBytes = 0
  for (const done of socket.waiting.splice(0)) done()
  expect(socket.sent.slice(16)).toEqual(['later 0 3000', 'later 0 3000'])
  for (const done of socket.waiting.splice(0)) done()
  await drained
})

it('handles all messages that came together before it lets anything out', () => {
  const [machine, socket] = [new FakeMachine(0), new FakeSocket()]
  const { progress } = pumpOf(machine, socket)
  const from = { address: '192.0.2.1', port: 9 }
  for (const length of [3, 2, 1]) socket.onMessage(new Uint8Array(length), from)
  expect([machine.heard, progress.mock.calls.length]).toEqual([[3, 2, 1], 0])
  socket.onBatchEnd()
  expect(progress).toHaveBeenCalled()
  pump!.stop()
  socket.onMessage(new Uint8Array(4), from)
  expect(machine.heard).toEqual([3, 2, 1])
})
