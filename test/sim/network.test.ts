import { describe, expect, test } from 'vitest'
import { DATA_HEADER_BYTES, encodePrefixInto, PacketType } from '../../src/protocol/index.ts'
import { seededRandom } from '../../src/random.ts'
import { EventQueue } from './event-queue.ts'
import { Link, type LinkSpec } from './link.ts'
import { Network, SENDER, type Arrival, type NetworkSpec, type PathSpec } from './network.ts'

const PACKETS = 20_000
const PACKET_BYTES = 100

/** Sends numbered packets over a link, in runs of 10, one run each millisecond: what arrives, packet by packet. */
function carry(spec: LinkSpec, seed = 1): { readonly atUs: number; readonly number: number }[] {
  const link = new Link(spec, seededRandom(seed))
  const arrived: { atUs: number; number: number }[] = []
  for (let first = 0; first < PACKETS; first += 10) {
    const run = new Uint8Array(10 * PACKET_BYTES)
    const view = new DataView(run.buffer)
    for (let index = 0; index < 10; index++) view.setUint32(index * PACKET_BYTES, first + index)
    link.carry(first * 100, run, PACKET_BYTES, (atUs, bytes) => {
      for (let at = 0; at < bytes.length; at += PACKET_BYTES) {
        const number = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0)
        arrived.push({ atUs, number })
      }
    })
  }
  return arrived.sort((a, b) => a.atUs - b.atUs)
}

const lostShare = (arrived: readonly unknown[]): number => 1 - arrived.length / PACKETS

describe('a link', () => {
  test('without faults delivers whole runs, in order and on time', () => {
    const arrived = carry({ delayUs: 700 })
    expect(arrived.map(({ number }) => number)).toEqual(Array.from({ length: PACKETS }, (_, number) => number))
    expect(arrived[25]).toEqual({ atUs: 2700, number: 25 })
  })

  test.each([0.001, 0.01, 0.05, 0.2, 1])('loses a share of %d, each packet by its own fate', (lossRatio) => {
    const arrived = carry({ lossRatio })
    const deviation = Math.sqrt((lossRatio * (1 - lossRatio)) / PACKETS)
    expect(Math.abs(lostShare(arrived) - lossRatio)).toBeLessThanOrEqual(4 * deviation)
  })

  test('loses in bursts as long as they should be', () => {
    const arrived = new Set(
      carry({ bursts: { enterRatio: 0.002, leaveRatio: 0.1, lossRatio: 1 } }).map(({ number }) => number),
    )
    let bursts = 0
    for (let number = 1; number < PACKETS; number++) if (arrived.has(number - 1) && !arrived.has(number)) bursts++
    const lost = PACKETS - arrived.size
    expect(lost / PACKETS).toBeGreaterThan(0.01)
    expect(lost / PACKETS).toBeLessThan(0.03)
    expect(lost / bursts).toBeGreaterThan(7)
    expect(lost / bursts).toBeLessThan(14)
  })

  test('delivers twice, late, and out of order as it is told', () => {
    expect(carry({ duplicateRatio: 0.1 }).length / PACKETS).toBeCloseTo(1.1, 1)
    const isOvertaken = (arrived: readonly { number: number }[]): number =>
      arrived.filter(({ number }, index) => index > 0 && arrived[index - 1]!.number > number).length
    expect(isOvertaken(carry({ reorderRatio: 0.1 })) / PACKETS).toBeGreaterThan(0.05)
    expect(isOvertaken(carry({ jitterUs: 5000 })) / PACKETS).toBeGreaterThan(0.2)
    expect(isOvertaken(carry({ lossRatio: 0.1 }))).toBe(0)
  })

  test('carries no more than its rate, holds as much as its queue, and loses the rest', () => {
    // 10 packets of 128 bytes each millisecond are 10.24 Mbit/s.
    const arrived = carry({ bitsPerSec: 5_120_000, queueBytes: 12_800 })
    expect(lostShare(arrived)).toBeCloseTo(0.5, 1)
    const lateness = arrived.map(({ atUs, number }) => atUs - Math.floor(number / 10) * 1000)
    expect(Math.max(...lateness)).toBeLessThanOrEqual(20_000)
    expect(lostShare(carry({ bitsPerSec: 11_000_000, queueBytes: 12_800 }))).toBe(0)
  })

  test('turns bits over in symbols only, in a copy', () => {
    const link = new Link({ corruptRatio: 1 }, seededRandom(1))
    for (const type of [PacketType.data, PacketType.control]) {
      const packet = new Uint8Array(PACKET_BYTES)
      encodePrefixInto(packet, 0, type, { high: 1, low: 2 }, 3)
      const sent = Uint8Array.from(packet)
      const changed: number[] = []
      link.carry(0, packet, PACKET_BYTES, (_, bytes) => {
        for (let at = 0; at < bytes.length; at++) if (bytes[at] !== sent[at]) changed.push(at)
      })
      expect(packet).toEqual(sent)
      expect(changed).toHaveLength(type === PacketType.data ? 1 : 0)
      for (const at of changed) expect(at).toBeGreaterThanOrEqual(DATA_HEADER_BYTES)
    }
  })
})

describe('a network', () => {
  function build(spec: NetworkSpec, paths: readonly PathSpec[]): { network: Network; drain: () => Arrival[] } {
    const queue = new EventQueue<Arrival>()
    const network = new Network(spec, 1, queue)
    paths.forEach((path, index) => {
      network.addPath(path)
      network.plug(index, true)
    })
    const drain = (): Arrival[] => {
      const all: Arrival[] = []
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) all.push(next)
      return all
    }
    return { network, drain }
  }

  test('brings a run to everybody who is plugged in, after each path’s own delay', () => {
    const { network, drain } = build({}, [{ down: { delayUs: 30 } }, {}, { down: { delayUs: 10 } }])
    network.plug(1, false)
    network.multicast(5, new Uint8Array(300), 100)
    expect(drain().map(({ to, from, atUs, bytes }) => [to, from, atUs, bytes.length])).toEqual([
      [2, SENDER, 15, 300],
      [0, SENDER, 35, 300],
    ])
    expect(network.packetCount).toBe(3)
  })

  test('shares one buffer among the receivers', () => {
    const { network, drain } = build({}, [{}, {}])
    const bytes = new Uint8Array(100)
    network.multicast(0, bytes, 100)
    for (const arrival of drain()) expect(arrival.bytes.buffer).toBe(bytes.buffer)
  })

  test('loses on the uplink for all, and on each path for one', () => {
    const count = (spec: NetworkSpec, path: PathSpec): number[] => {
      const { network, drain } = build(spec, [path, path])
      for (let packet = 0; packet < 5000; packet++)
        network.multicast(packet, new Uint8Array([packet >> 8, packet & 255]), 2)
      const heard = [new Set<number>(), new Set<number>()]
      for (const { to, bytes } of drain()) heard[to]!.add(bytes[0]! * 256 + bytes[1]!)
      return [heard[0]!.size, heard[1]!.size, [...heard[0]!].filter((packet) => heard[1]!.has(packet)).length]
    }
    const [first, second, both] = count({ uplink: { lossRatio: 0.5 } }, {})
    expect([first, second]).toEqual([both, both])
    const [one, other, common] = count({}, { down: { lossRatio: 0.5 } })
    expect(common! / Math.min(one!, other!)).toBeLessThan(0.6)
  })

  test('asks the filter about each packet in both directions', () => {
    const seen: [number, number, number][] = []
    const filter = (packet: Uint8Array, to: number, from: number): boolean => {
      seen.push([from, to, packet[0]!])
      return packet[0] === 2
    }
    const { network, drain } = build({ filter }, [{}])
    network.multicast(0, new Uint8Array([1, 2, 3]), 1)
    network.unicast(0, 0, new Uint8Array([2]))
    network.unicast(0, 0, new Uint8Array([4]))
    expect(drain().map(({ to, bytes }) => [to, ...bytes])).toEqual([
      [0, 1],
      [0, 3],
      [SENDER, 4],
    ])
    expect(seen).toHaveLength(5)
  })
})

test('an event queue gives events by time, and those of one time as they came', () => {
  const queue = new EventQueue<{ atUs: number; order: number; name: number }>()
  const random = seededRandom(1)
  const events = Array.from({ length: 2000 }, (_, name) => ({ atUs: Math.floor(random() * 100), order: 0, name }))
  const popped: { atUs: number; name: number }[] = []
  for (const event of events) {
    queue.push(event)
    if (random() < 0.3) queue.push(queue.pop()!)
  }
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) popped.push(next)
  expect(popped).toHaveLength(2000)
  expect(popped.every(({ atUs }, index) => index === 0 || popped[index - 1]!.atUs <= atUs)).toBe(true)

  for (const event of events) queue.push(event)
  const sorted = [...events].sort((a, b) => a.atUs - b.atUs || a.name - b.name)
  expect(sorted.map(() => queue.pop()!.name)).toEqual(sorted.map(({ name }) => name))
  expect([queue.pop(), queue.size]).toEqual([undefined, 0])
})
