import { createSocket } from 'node:dgram'
import { networkInterfaces } from 'node:os'
import { describe, expect, it, vi } from 'vitest'
import type { GroupAddress } from '../../../src/io/group-address.ts'
import { NO_FFI_VARIABLE } from '../../../src/io/ffi.ts'
import { loadLibc } from '../../../src/io/libc.ts'
import { resolveInterface } from '../../../src/io/network-interface.ts'
import { expectFailure } from './expect-failure.ts'
import {
  freePort,
  loopbackSetting,
  nextDatagrams,
  openSocket,
  SEGMENT_BYTES,
  sendRun,
  sendTo,
  text,
} from './own-udp-sockets.ts'

const hasFfi = loadLibc() !== undefined
const onLinux = process.platform === 'linux'
const paths = [
  { path: 'with FFI', ffi: true, available: hasFfi },
  { path: 'without FFI', ffi: false, available: true },
].filter(({ available }) => available)

/** Bytes in which no two runs of four are alike. */
function pattern(lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes)
  for (let at = 0; at + 4 <= lengthBytes; at += 4) bytes.writeUInt32BE(at, at)
  return bytes
}

describe.each(paths)('a socket $path', ({ ffi }) => {
  const enter = (): void => void vi.stubEnv(NO_FFI_VARIABLE, ffi ? '' : '1')

  it('carries a run to every receiver on the host, datagram by datagram, in order', async () => {
    enter()
    const setting = await loopbackSetting()
    const receivers = [
      await openSocket({ ...setting, role: 'receiver' }),
      await openSocket({ ...setting, role: 'receiver' }),
      await openSocket({ ...setting, role: 'receiver', offload: 'off' }),
    ]
    const sender = await openSocket({ ...setting, role: 'sender' })
    // As many as one send may hold: 65,507 bytes.
    const count = 54
    const run = pattern(count * SEGMENT_BYTES - 500)
    const arrivals = receivers.map((receiver) => nextDatagrams(receiver, count))
    await sendRun(sender, run)
    for (const { datagrams, from } of await Promise.all(arrivals)) {
      expect(datagrams.map(({ length }) => length)).toEqual([
        ...Array<number>(count - 1).fill(SEGMENT_BYTES),
        SEGMENT_BYTES - 500,
      ])
      expect(Buffer.concat(datagrams).equals(run)).toBe(true)
      expect(from).toEqual(['127.0.0.1', sender.address.port])
    }
  })

  it('carries runs and single datagrams of changing sizes', async () => {
    enter()
    const setting = await loopbackSetting()
    // Without coalescing each message is one datagram of the wire.
    const receiver = await openSocket({ ...setting, role: 'receiver', offload: 'off' })
    const sender = await openSocket({ ...setting, role: 'sender' })
    const lengths: number[] = []
    const arrived = new Promise<void>((resolve) => {
      receiver.onMessage = (bytes) => {
        lengths.push(bytes.length)
        if (lengths.length === 9) resolve()
      }
    })
    await sendRun(sender, pattern(2500), 1000)
    await sendRun(sender, pattern(1100), 1100)
    await sendRun(sender, pattern(10), 1000)
    await sendRun(sender, pattern(2100), 700)
    await sendRun(sender, pattern(700), 700)
    await arrived
    expect(lengths).toEqual([1000, 1000, 500, 1100, 10, 700, 700, 700, 700])
  })

  it('hears all of many datagrams that wait, in order, and from where they came', async () => {
    enter()
    const setting = await loopbackSetting()
    const receivers = [
      await openSocket({ ...setting, role: 'receiver' }),
      await openSocket({ ...setting, role: 'receiver', offload: 'off' }),
    ]
    const senders = [
      await openSocket({ ...setting, role: 'sender', offload: 'off' }),
      await openSocket({ ...setting, role: 'sender', offload: 'off' }),
    ]
    const count = 150
    const heard = receivers.map(async (receiver) => {
      const last = new Map<number, number>()
      let [total, batchCount] = [0, 0]
      await new Promise<void>((resolve) => {
        receiver.onBatchEnd = () => {
          batchCount++
          if (total === 2 * count) resolve()
        }
        receiver.onMessage = (bytes, { address, port }) => {
          expect(address).toBe('127.0.0.1')
          // What came back to back may be one message.
          for (let at = 0; at < bytes.length; at += 100, total++) {
            const number = Buffer.from(bytes.subarray(at, at + 100)).readUInt32BE()
            expect(number).toBe((last.get(port) ?? -1) + 1)
            last.set(port, number)
          }
        }
      })
      expect([...last.keys()].sort()).toEqual(senders.map((sender) => sender.address.port).sort())
      return batchCount
    })
    // All within one turn of the event loop, so that nothing is read meanwhile.
    const sent: Promise<void>[] = []
    for (let number = 0; number < count; number++) {
      const bytes = Buffer.alloc(100)
      bytes.writeUInt32BE(number)
      for (const sender of senders) sent.push(sendRun(sender, bytes, 100))
    }
    await Promise.all(sent)
    const batchCounts = await Promise.all(heard)
    for (const batchCount of batchCounts) expect(batchCount).toBeGreaterThan(0)
  })

  it('takes a run at once where it can, else nothing of it', async () => {
    enter()
    const setting = await loopbackSetting()
    const receiver = await openSocket({ ...setting, role: 'receiver' })
    const run = pattern(20 * SEGMENT_BYTES - 500)
    for (const offload of ['auto', 'off'] as const) {
      const sender = await openSocket({ ...setting, role: 'sender', offload })
      const arrival = nextDatagrams(receiver, 20)
      const taken = sender.sendToGroupNow(run, run.length, SEGMENT_BYTES)
      expect(taken).toBe(ffi ? run.length : 0)
      if (taken === 0) await sendRun(sender, run)
      const { datagrams, from } = await arrival
      expect(Buffer.concat(datagrams).equals(run)).toBe(true)
      expect(from).toEqual(['127.0.0.1', sender.address.port])
      expect(() => sender.sendToGroupNow(run, run.length + 1, SEGMENT_BYTES)).toThrow(RangeError)
      await sender.close()
      expect(sender.sendToGroupNow(run, run.length, SEGMENT_BYTES)).toBe(0)
    }
  })

  it('hands out nothing more once it is closed in the middle of what waits', async () => {
    enter()
    const setting = await loopbackSetting()
    const receiver = await openSocket({ ...setting, role: 'receiver', offload: 'off' })
    const sender = await openSocket({ ...setting, role: 'sender' })
    let heardCount = 0
    const closed = new Promise<void>((resolve) => {
      receiver.onMessage = () => {
        if (++heardCount === 3) void receiver.close().then(resolve)
      }
    })
    await sendRun(sender, pattern(20 * SEGMENT_BYTES))
    await closed
    expect(heardCount).toBe(3)
  })

  it('returns feedback from a receiver to the sender, from an address of the interface', async () => {
    enter()
    const setting = await loopbackSetting()
    const receiver = await openSocket({ ...setting, role: 'receiver' })
    const sender = await openSocket({ ...setting, role: 'sender' })
    const arrival = nextDatagrams(receiver, 1)
    const feedback = nextDatagrams(sender, 1)
    await sendRun(sender, text('hello'))
    await sendTo(receiver, text('here'), ...(await arrival).from)
    const { datagrams, from } = await feedback
    expect(datagrams.map(String)).toEqual(['here'])
    expect(from).toEqual(['127.0.0.1', setting.group.port])
  })

  it.runIf(onLinux)('does not hear other groups on its port', async () => {
    enter()
    const setting = await loopbackSetting('239.255.83.1')
    const other = { ...setting, group: { ...setting.group, address: '239.255.83.2' } }
    const receiver = await openSocket({ ...setting, role: 'receiver' })
    const otherReceiver = await openSocket({ ...other, role: 'receiver' })
    const sender = await openSocket({ ...setting, role: 'sender' })
    const otherSender = await openSocket({ ...other, role: 'sender' })
    const heard = nextDatagrams(receiver, 1)
    const otherHeard = nextDatagrams(otherReceiver, 1)
    await sendRun(otherSender, text('other'))
    await otherHeard
    await sendRun(sender, text('ours'))
    expect((await heard).datagrams.map(String)).toEqual(['ours'])
    expect(receiver.address).toEqual({ address: '239.255.83.1', port: setting.group.port })
  })

  it('refuses a port that another program does not share', async () => {
    enter()
    const setting = await loopbackSetting()
    const holder = createSocket('udp4')
    await new Promise<void>((resolve) => holder.bind(setting.group.port, resolve))
    const { port } = setting.group
    await expectFailure(
      openSocket({ ...setting, role: 'receiver' }),
      'PORT_IN_USE',
      `join the group 239.255.83.1:${port}`,
    )
    await new Promise<void>((resolve) => holder.close(resolve))
    await openSocket({ ...setting, role: 'receiver' })
  })

  it('gets feedback at a port of its own choice, which it does not share', async () => {
    enter()
    const setting = await loopbackSetting()
    const feedbackPort = await freePort()
    const sender = await openSocket({ ...setting, role: 'sender', feedbackPort })
    expect(sender.address).toEqual({ address: '0.0.0.0', port: feedbackPort })
    const feedback = nextDatagrams(sender, 1)
    const receiver = await openSocket({ ...setting, role: 'receiver' })
    await sendTo(receiver, text('here'), '127.0.0.1', feedbackPort)
    expect((await feedback).datagrams.map(String)).toEqual(['here'])
    const second = openSocket({ ...setting, role: 'sender', feedbackPort })
    await expectFailure(second, 'PORT_IN_USE', `open the feedback port ${feedbackPort}`)
  })

  it('outlives a peer that has gone', async () => {
    enter()
    const setting = await loopbackSetting()
    const receiver = await openSocket({ ...setting, role: 'receiver' })
    const sender = await openSocket({ ...setting, role: 'sender' })
    const gone = await freePort()
    await sendTo(receiver, text('anyone?'), '127.0.0.1', gone)
    await sendTo(receiver, text('anyone?'), '127.0.0.1', gone)
    const arrival = nextDatagrams(receiver, 1)
    await sendRun(sender, text('still here'))
    expect((await arrival).datagrams.map(String)).toEqual(['still here'])
  })

  it.each(['sender', 'receiver'] as const)('refuses runs that are none, as a %s', async (role) => {
    enter()
    const socket = await openSocket({ ...(await loopbackSetting()), role })
    const bytes = new Uint8Array(10)
    for (const [length, segmentBytes] of [
      [0, 10],
      [11, 10],
      [10, 0],
    ] as const) {
      expect(() => socket.sendToGroup(bytes, length, segmentBytes, () => undefined)).toThrow(RangeError)
    }
  })

  it('reports an address that is not one', async () => {
    enter()
    const sender = await openSocket({ ...(await loopbackSetting()), role: 'sender' })
    await expectFailure(sendTo(sender, text('x'), 'not-an-address', 9), 'NETWORK_FAILED', 'send to not-an-address:9')
  })

  it('fails sends after close, gives the port back and closes once', async () => {
    enter()
    const setting = await loopbackSetting()
    const receiver = await openSocket({ ...setting, role: 'receiver' })
    await Promise.all([receiver.close(), receiver.close()])
    await expectFailure(sendTo(receiver, text('x'), '127.0.0.1', 9), 'NETWORK_FAILED', 'the socket is closed')
    expect(receiver.receiveQueue()).toBeUndefined()
    const holder = createSocket('udp4')
    await new Promise<void>((resolve) => holder.bind(setting.group.port, resolve))
    await new Promise<void>((resolve) => holder.close(resolve))
  })

  it('tells what the kernel gave', async () => {
    enter()
    const setting = await loopbackSetting()
    const asked = { recvBufferBytes: 65_536, sendBufferBytes: 32_768 }
    for (const role of ['receiver', 'sender'] as const) {
      const { facts } = await openSocket({ ...setting, ...asked, role })
      expect(facts).toMatchObject(asked)
      expect(facts.offload).toBe(facts.offloadNote === undefined)
      if (!ffi && onLinux) expect(facts.offloadNote).toBe(`${NO_FFI_VARIABLE} is set`)
    }
    const { facts } = await openSocket({ ...setting, role: 'receiver', offload: 'off' })
    expect(facts).toMatchObject({ offload: false, offloadNote: 'offload is turned off', batches: ffi })
  })

  // Any interface that has IPv6, but the loopback one: there the kernel has no route for multicast.
  const ipv6Name = Object.entries(networkInterfaces()).find(([, addresses]) =>
    addresses?.some(({ family, internal }) => family === 'IPv6' && !internal),
  )?.[0]

  it.runIf(ipv6Name).each(['ff15::83:1', 'ff12::83:1'])('works with IPv6, group %s', async (address) => {
    enter()
    const group: GroupAddress = { address, port: await freePort(), family: 6 }
    const setting = { group, interface: resolveInterface(ipv6Name, 6) }
    const receivers = [
      await openSocket({ ...setting, role: 'receiver' }),
      await openSocket({ ...setting, role: 'receiver' }),
    ]
    const sender = await openSocket({ ...setting, role: 'sender' })
    const run = pattern(3 * SEGMENT_BYTES + 1)
    const arrivals = receivers.map((receiver) => nextDatagrams(receiver, 4))
    const feedback = nextDatagrams(sender, 1)
    await sendRun(sender, run)
    const [first, second] = await Promise.all(arrivals)
    expect(Buffer.concat(first!.datagrams).equals(run)).toBe(true)
    expect(Buffer.concat(second!.datagrams).equals(run)).toBe(true)
    await sendTo(receivers[0]!, text('here'), ...first!.from)
    expect((await feedback).datagrams.map(String)).toEqual(['here'])
  })

  it.runIf(ipv6Name)('keeps packets from this host when loopback is off', async () => {
    enter()
    const group: GroupAddress = { address: 'ff15::83:1', port: await freePort(), family: 6 }
    const setting = { group, interface: resolveInterface(ipv6Name, 6) }
    const receiver = await openSocket({ ...setting, role: 'receiver' })
    const mute = await openSocket({ ...setting, role: 'sender', loopback: false })
    const sender = await openSocket({ ...setting, role: 'sender' })
    const heard = nextDatagrams(receiver, 1)
    await sendRun(mute, text('unheard'))
    await sendRun(sender, text('heard'))
    expect((await heard).datagrams.map(String)).toEqual(['heard'])
  })
})

describe.runIf(hasFfi)('with FFI', () => {
  it('leaves and arrives in runs, which is told', async () => {
    const setting = await loopbackSetting()
    const receiver = await openSocket({ ...setting, role: 'receiver' })
    const sender = await openSocket({ ...setting, role: 'sender' })
    expect(sender.facts).toMatchObject({ offload: true, offloadNote: undefined })
    expect(receiver.facts).toMatchObject({ offload: true, offloadNote: undefined })
    const length = new Promise((resolve) => {
      receiver.onMessage = (bytes) => resolve(bytes.length)
    })
    await sendRun(sender, pattern(20 * SEGMENT_BYTES))
    expect(await length).toBe(20 * SEGMENT_BYTES)
  })

  it.runIf(process.getuid?.() === 0)(
    'lets the event loop have its turn, however many empty datagrams wait',
    async () => {
      const setting = await loopbackSetting()
      const receiver = await openSocket({ ...setting, role: 'receiver', offload: 'off' })
      const sender = await openSocket({ ...setting, role: 'sender', offload: 'off' })
      let [total, turn, most] = [0, 0, 0]
      const allHeard = new Promise<void>((resolve) => {
        const count = (): void => {
          if (turn++ === 0) setImmediate(() => void ([most, turn] = [Math.max(most, turn), 0]))
          if (++total === 6000) setImmediate(resolve)
        }
        receiver.onMessage = count
      })
      const empty = createSocket('udp4')
      await new Promise<void>((resolve) => empty.bind(0, '127.0.0.1', resolve))
      empty.setMulticastInterface('127.0.0.1')
      const { address, port } = setting.group
      for (let number = 0; number < 6000; number++) empty.send(new Uint8Array(0), port, address)
      await allHeard
      empty.close()
      // What is taken past Node.js, and what that itself takes in a turn.
      expect(most).toBeGreaterThan(100)
      expect(most).toBeLessThanOrEqual(2048 + 64 + 33)
      expect(sender.facts.batches).toBe(true)
    },
  )

  it('tells the fill and the losses of the receive queue', async () => {
    const setting = await loopbackSetting()
    const receiver = await openSocket({ ...setting, role: 'receiver', recvBufferBytes: 65_536 })
    const sender = await openSocket({ ...setting, role: 'sender', offload: 'off' })
    expect(receiver.receiveQueue()).toEqual({ queuedBytes: 0, capacityBytes: 131_072, droppedCount: 0 })
    // All within one turn of the event loop, so that nothing is read meanwhile.
    const sent = [sendRun(sender, pattern(SEGMENT_BYTES))]
    const { queuedBytes, droppedCount } = receiver.receiveQueue()!
    expect(queuedBytes).toBeGreaterThanOrEqual(SEGMENT_BYTES)
    expect(droppedCount).toBe(0)
    for (let count = 0; count < 200; count++) sent.push(sendRun(sender, pattern(SEGMENT_BYTES)))
    const full = receiver.receiveQueue()!
    expect(full.queuedBytes).toBeGreaterThan(65_536)
    expect(full.droppedCount).toBeGreaterThan(0)
    await Promise.all(sent)
  })
})

it('opens with the FFI off where it is on, and the other way round, for one group', async () => {
  const setting = await loopbackSetting()
  const plain = { ...setting, offload: 'off' } as const
  vi.stubEnv(NO_FFI_VARIABLE, '1')
  const withoutFfi = await openSocket({ ...setting, role: 'receiver' })
  vi.unstubAllEnvs()
  const sender = await openSocket({ ...plain, role: 'sender' })
  const withFfi = await openSocket({ ...setting, role: 'receiver' })
  const run = pattern(5 * SEGMENT_BYTES)
  const arrivals = [withoutFfi, withFfi].map((receiver) => nextDatagrams(receiver, 5))
  await sendRun(sender, run)
  for (const { datagrams } of await Promise.all(arrivals)) expect(Buffer.concat(datagrams).equals(run)).toBe(true)
})

it('has link-local groups name their interface', async () => {
  const group: GroupAddress = { address: 'ff12::1', port: 9, family: 6 }
  await expectFailure(openSocket({ group, role: 'sender' }), 'OPTION_INVALID', '[ff12::1]:9', 'name the interface')
})

it('wants group and interface of one family', async () => {
  const group: GroupAddress = { address: 'ff15::1', port: 9, family: 6 }
  const opening = openSocket({ group, role: 'sender', interface: resolveInterface('127.0.0.1', 4) })
  await expect(opening).rejects.toThrow(RangeError)
})
