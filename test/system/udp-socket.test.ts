import { afterAll, describe, expect, test } from 'vitest'
import { NO_FFI_VARIABLE } from '../../src/io/ffi.ts'
import { loadLibc } from '../../src/io/libc.ts'
import { runCommand } from '../lab/command.ts'
import type { Lab, LabHost } from '../lab/lab.ts'
import { CompiledIo, type IoProcess } from './io-process.ts'
import { useLabs } from './own-labs.ts'

const MTU_BYTES = 1500
const RUNS = 20
const hasFfi = loadLibc() !== undefined

const io = new CompiledIo()
afterAll(() => io.remove())

const up = useLabs()

const openAt = (role: string, group: string, more = '{}'): string => `
const group = parseGroup('${group}', 5000)
const socket = await openUdpSocket({ group, role: '${role}', interface: resolveInterface('eth0', group.family), ...${more} })
`

/** Joins, answers the sender once, and says `[datagrams, bytes, longest message]` when `totalBytes` have come. */
const receive = (group: string, segmentBytes: number, totalBytes: number): string => `
${openAt('receiver', group)}
let datagrams = 0, bytes = 0, longest = 0, wrong = 0
socket.onMessage = (message, { address, port }) => {
  if (bytes === 0) socket.sendTo(new Uint8Array(10), 10, address, port, () => undefined)
  for (let at = 0; at < message.length; at += ${segmentBytes}) {
    if (message[at] !== datagrams % 251) wrong++
    datagrams++
  }
  bytes += message.length
  longest = Math.max(longest, message.length)
  if (bytes === ${totalBytes}) {
    say({ datagrams, wrong, longest })
    socket.close()
  }
}
say(socket.facts)
`

/** Sends {@link RUNS} runs, the last datagram of each half as long; says the socket's facts and who answered. */
const send = (group: string, segmentBytes: number, count: number, answers: number): string => `
${openAt('sender', group)}
const length = ${(count - 1) * segmentBytes + segmentBytes / 2}
const from = new Set()
const answered = new Promise((resolve) => {
  socket.onMessage = (bytes, { address }) => from.add(address).size === ${answers} && resolve()
})
let datagrams = 0
for (let run = 0; run < ${RUNS}; run++) {
  const buffer = new Uint8Array(length)
  for (let at = 0; at < length; at += ${segmentBytes}) buffer[at] = datagrams++ % 251
  say(await settled((done) => socket.sendToGroup(buffer, length, ${segmentBytes}, done)))
}
await answered
say({ facts: socket.facts, from: [...from].sort() })
await socket.close()
`

/** Sends one datagram and says what became of it, each time that it is told to. */
const sendOnDemand = (group: string, more = '{}'): string => `
${openAt('sender', group, more)}
say('open')
for await (const _ of process.stdin) say(await settled((done) => socket.sendToGroup(new Uint8Array(10), 10, 10, done)))
`

/** The last thing that a sender says, after all of its sends went out. */
async function outcomeOf(sender: IoProcess): Promise<unknown> {
  for (let run = 0; run < RUNS; run++) expect(await sender.next()).toBe('sent')
  return await sender.next()
}

const families = [
  { group: '239.77.1.1', overheadBytes: 28, addressOf: (host: LabHost) => host.ipv4 },
  { group: 'ff15::77', overheadBytes: 48, addressOf: (host: LabHost) => host.ipv6 },
]
const paths = [
  { path: 'with FFI', env: {}, offload: true, available: hasFfi },
  { path: 'without FFI', env: { [NO_FFI_VARIABLE]: '1' }, offload: false, available: true },
].filter(({ available }) => available)

describe.each(paths)('a socket $path', ({ env, offload }) => {
  test.each(families)('carries full packets of $group over the wire, and feedback', async (family) => {
    const { group, overheadBytes, addressOf } = family
    const segmentBytes = MTU_BYTES - overheadBytes
    const count = Math.floor(65_507 / segmentBytes)
    const lab = up({ receiverCount: 2, mtuBytes: MTU_BYTES })
    const totalBytes = RUNS * (count - 0.5) * segmentBytes
    const receivers = lab.receivers.map(({ index }) =>
      io.start(lab, index, receive(group, segmentBytes, totalBytes), env),
    )
    for (const receiver of receivers) expect(await receiver.next()).toMatchObject({ offload })
    const before = lab.receivers.map(({ index }) => lab.counters(index).receivedPacketCount)

    const outcome = await outcomeOf(io.start(lab, 0, send(group, segmentBytes, count, 2), env))

    expect(outcome).toMatchObject({ facts: { offload }, from: lab.receivers.map(addressOf) })
    for (const [index, receiver] of receivers.entries()) {
      const { datagrams, wrong, longest } = (await receiver.next()) as Record<string, number>
      expect([datagrams, wrong]).toEqual([RUNS * count, 0])
      if (!offload) expect(longest).toBe(segmentBytes)
      // Each packet crosses by itself: nothing went out in one piece, nothing in fragments.
      const packets = lab.counters(index + 1).receivedPacketCount - before[index]!
      expect(packets).toBeGreaterThanOrEqual(RUNS * count)
      expect(packets).toBeLessThan(RUNS * count * 1.1)
    }
  })

  test.each(families)('sets the hop limit of $group', async ({ group }) => {
    const lab = up({ receiverCount: 1 })
    nft(lab, 1, [
      'add table inet probe',
      'add chain inet probe in { type filter hook prerouting priority 0; }',
      'add rule inet probe in ip daddr 239.77.1.1 ip ttl 7 counter name hops',
      'add rule inet probe in ip6 daddr ff15::77 ip6 hoplimit 7 counter name hops',
    ])
    const sender = io.start(lab, 0, sendOnDemand(group, '{ ttl: 7 }'), env)
    await sender.next()
    sender.proceed()
    expect(await sender.next()).toBe('sent')
    expect(lab.run(1, 'nft', ['list', 'counter', 'inet', 'probe', 'hops'])).toContain('packets 1 ')
  })

  test('names a missing route', async () => {
    const lab = up({ receiverCount: 1 })
    lab.run(0, 'ip', ['route', 'flush', 'table', 'main'])
    const say = `.then(() => say('open'), (error) => say([error.code, error.message]))`
    const open = (role: string): string =>
      `openUdpSocket({ group: parseGroup('239.77.1.1', 5000), role: '${role}' })${say}`
    expect(await io.start(lab, 0, open('receiver'), env).next()).toEqual([
      'NO_MULTICAST_ROUTE',
      expect.stringContaining('join the group 239.77.1.1:5000: there is no route'),
    ])
    const sender = io.start(lab, 0, sendOnDemand('239.77.1.1', '{ interface: undefined }'), env)
    await sender.next()
    sender.proceed()
    expect(await sender.next()).toBe('NO_MULTICAST_ROUTE')
  })

  test('names a firewall that forbids sending', async () => {
    const lab = up({ receiverCount: 1 })
    nft(lab, 0, [
      'add table inet probe',
      'add chain inet probe out { type filter hook output priority 0; }',
      'add rule inet probe out udp dport 5000 drop',
    ])
    const sender = io.start(lab, 0, sendOnDemand('239.77.1.1'), env)
    await sender.next()
    sender.proceed()
    expect(await sender.next()).toBe('NETWORK_DENIED')
  })

  test('goes on after the cable was pulled and put back', async () => {
    const lab = up({ receiverCount: 1 })
    const receiver = io.start(lab, 1, receive('239.77.1.1', 10, 10), env)
    await receiver.next()
    const sender = io.start(lab, 0, sendOnDemand('239.77.1.1'), env)
    await sender.next()
    lab.linkDown(0)
    sender.proceed()
    expect(await sender.next()).toBe('sent')
    lab.linkUp(0)
    let arrival: unknown
    void receiver.next().then((said) => (arrival = said))
    while (arrival === undefined) {
      sender.proceed()
      expect(await sender.next()).toBe('sent')
    }
    expect(arrival).toMatchObject({ datagrams: 1, wrong: 0 })
  })
})

describe.runIf(hasFfi)('with FFI', () => {
  test('coalesces and gets the buffers that it asks for, as root', async () => {
    const lab = up({ receiverCount: 1 })
    const receiver = io.start(lab, 1, receive('239.77.1.1', 1472, RUNS * 1472 * 43.5))
    expect(await receiver.next()).toEqual({
      ...{ offload: true, batches: true },
      ...{ recvBufferBytes: 8_388_608, sendBufferBytes: 4_194_304 },
    })
    await outcomeOf(io.start(lab, 0, send('239.77.1.1', 1472, 44, 1)))
    const { longest } = (await receiver.next()) as Record<string, number>
    expect(longest).toBeGreaterThan(1472)
  })

  test.each(families)('sends runs to $group one by one where segments exceed the MTU', async ({ group }) => {
    const lab = up({ receiverCount: 1, mtuBytes: 1280 })
    const receiver = io.start(lab, 1, receive(group, 1400, RUNS * 1400 * 9.5))
    await receiver.next()
    const outcome = await outcomeOf(io.start(lab, 0, send(group, 1400, 10, 1)))
    expect(outcome).toMatchObject({
      facts: { offload: false, offloadNote: expect.stringContaining('refused to segment a send') as string },
    })
    expect(await receiver.next()).toMatchObject({ datagrams: RUNS * 10, wrong: 0, longest: 1400 })
  })
})

/** Sets up a host's packet filter. A rule's `counter name` is made on the way. */
function nft(lab: Lab, hostIndex: number, rules: readonly string[]): void {
  const counters = rules.some((rule) => rule.includes('counter name hops')) ? ['add counter inet probe hops'] : []
  const [table = '', ...others] = rules
  const lines = [table, ...counters, ...others].join('\n')
  runCommand('ip', ['netns', 'exec', lab.hosts[hostIndex]!.namespace, 'nft', '-f', '-'], `${lines}\n`)
}
