import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import {
  DEFAULT_GROUP,
  DEFAULT_PORT,
  encodeControl,
  encodePrefixInto,
  LIMITS,
  PacketType,
  type ControlMessage,
  type Id64,
} from '../../src/protocol/index.ts'
import { seededRandom } from '../../src/random.ts'
import type { Lab } from './lab.ts'

const FLOODER = fileURLToPath(new URL('flooder.mjs', import.meta.url))

/** What a stranger without a key says, all the time. */
export interface Flood {
  readonly name: string
  readonly packets: () => readonly Uint8Array[]
  /** Source addresses that it makes up, at most 100; 1: its own. */
  readonly addressCount: number
  readonly perSecond: number
}

const madeUp = (low: number): Id64 => ({ high: 0xbad, low: low + 1 })
/** The stranger puts the session's id in. */
const NO_SESSION: Id64 = { high: 0, low: 0 }
const packetOf = (message: ControlMessage): Uint8Array => encodeControl(message, NO_SESSION, 0)

/** Half of it is rubbish from the first byte on, half only after the prefix of a control packet. */
function garbage(): Uint8Array[] {
  const random = seededRandom(1)
  return Array.from({ length: 1000 }, (_, index) => {
    const packet = Uint8Array.from({ length: 16 + Math.floor(random() * 500) }, () => Math.floor(random() * 256))
    if (index % 2 === 1) encodePrefixInto(packet, 0, PacketType.control, NO_SESSION, 0)
    return packet
  })
}

const joins = (): Uint8Array[] =>
  Array.from({ length: 10_000 }, (_, low) => packetOf({ kind: 'join', receiver: madeUp(low), name: 'nobody' }))

/** Each asks for every slice, and for most symbols of some. */
const nacks = (): Uint8Array[] =>
  Array.from({ length: 64 }, (_, low) => {
    const slices = Array.from({ length: LIMITS.slicesPerMessage }, (_, index) => low + 3 * index)
    const deficits = slices.map((slice) => ({ slice, deficit: 200, heard: 0 }))
    return packetOf({ kind: 'nack', receiver: madeUp(low % 16), deficits, missing: [{ first: 0, count: 1_000_000 }] })
  })

/** Those that `docs/security.md` tells of. */
export const FLOODS: readonly Flood[] = [
  { name: 'garbage', packets: garbage, addressCount: 100, perSecond: 5000 },
  { name: 'joins from 10,000 made-up receivers', packets: joins, addressCount: 100, perSecond: 5000 },
  { name: 'NACKs for everything', packets: nacks, addressCount: 1, perSecond: 500 },
]

/**
 * Starts a stranger on one of the lab's hosts; it floods the first session that it hears.
 * @returns a function that ends it, and tells how many packets it has sent
 */
export async function startFlood(lab: Lab, host: number, flood: Flood): Promise<() => Promise<number>> {
  const { addressCount, perSecond } = flood
  const figures = [DEFAULT_PORT, lab.hosts[host]!.ipv4, addressCount, perSecond].map(String)
  const stranger = lab.spawn(host, process.execPath, [FLOODER, DEFAULT_GROUP, ...figures], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = flood.packets().map((packet) => `${Buffer.from(packet).toString('hex')}\n`)
  stranger.stdin!.end(lines.join(''))
  let said = ''
  stranger.stdout!.on('data', (bytes: Buffer) => (said += bytes.toString()))
  await once(stranger.stdout!, 'data')
  return async () => {
    stranger.kill('SIGTERM')
    await once(stranger, 'close')
    return (JSON.parse(said.split('\n')[1] ?? '{}') as { sent: number }).sent
  }
}
