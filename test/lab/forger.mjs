// A stranger that hears a session and sends packets of its own, from the sender's address and port, by a raw socket.
//   node forger.mjs GROUP PORT OWN_ADDRESS
//       for every tenth data packet sends one of its own; at SIGTERM prints {"forged"} and ends
import { createSocket } from 'node:dgram'
import { randomFillSync } from 'node:crypto'
import koffi from 'koffi'

const [group, port, ownAddress] = process.argv.slice(2)

const AF_INET = 2
const SOCK_RAW = 3
const IPPROTO_IP = 0
const IPPROTO_RAW = 255
const IP_MULTICAST_IF = 32
const IP_MULTICAST_LOOP = 34

const HEADERS = 28
const DATA = 1
const CONTROL = 2
const SEALED = 4

const libc = koffi.load('libc.so.6')
const socket = libc.func('int socket(int domain, int type, int protocol)')
const setsockopt = libc.func('int setsockopt(int fd, int level, int option, void *value, uint32_t length)')
const sendto = libc.func(
  'int64_t sendto(int fd, void *bytes, size_t length, int flags, void *address, uint32_t addressLength)',
)

const inet = (address) => Buffer.from(address.split('.').map(Number))

const raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW)
if (raw < 0) throw new Error('no raw socket: it takes root')
setsockopt(raw, IPPROTO_IP, IP_MULTICAST_IF, inet(ownAddress), 4)
// What it sends itself, it does not want to hear.
setsockopt(raw, IPPROTO_IP, IP_MULTICAST_LOOP, Buffer.alloc(4), 4)

const destination = Buffer.alloc(16)
destination.writeUInt16LE(AF_INET, 0)
inet(group).copy(destination, 4)

/** Sends a UDP datagram to the group as if `from` had. The kernel fills in the length and checksum of IP; UDP goes without. */
function sendAs(from, payload) {
  const packet = Buffer.alloc(HEADERS + payload.length)
  packet[0] = 0x45
  packet[8] = 1
  packet[9] = 17
  inet(from.address).copy(packet, 12)
  inet(group).copy(packet, 16)
  packet.writeUInt16BE(from.port, 20)
  packet.writeUInt16BE(Number(port), 22)
  packet.writeUInt16BE(8 + payload.length, 24)
  packet.set(payload, HEADERS)
  if (sendto(raw, packet, packet.length, 0, destination, destination.length) < 0) throw new Error('sendto failed')
}

/** Control packets of the session, to be repeated. */
const recorded = []
let dataCount = 0
let forgedCount = 0

/** What is forged in turn: each from a genuine data packet, and all of its length but the repeated ones. */
const FORGERIES = [
  // Another symbol in place of this one, and in place of one of the slice after.
  (packet) => randomFillSync(packet, 24),
  (packet) => randomFillSync(packet.fill(packet[19] + 1, 19, 20), 24),
  // Rubbish, and a control packet that lies about its length.
  (packet) => packet.fill(0),
  (packet) => packet.fill(CONTROL, 3, 4).fill(0, 16, 17).fill(9, 17, 18),
  (packet) => packet.fill(SEALED, 3, 4).fill(0, 16, 17).fill(9, 17, 18),
  () => recorded[forgedCount % Math.max(1, recorded.length)],
]

const listener = createSocket({ type: 'udp4', reuseAddr: true })
listener.on('message', (packet, from) => {
  if (packet[3] === SEALED && recorded.length < 1000) recorded.push(Buffer.from(packet))
  if (packet[3] !== DATA || ++dataCount % 10 !== 0) return
  const forged = FORGERIES[forgedCount % FORGERIES.length](Buffer.from(packet))
  forgedCount++
  if (forged !== undefined) sendAs(from, forged)
})
listener.bind({ address: group, port: Number(port) }, () => {
  listener.setRecvBufferSize(4 * 1024 * 1024)
  listener.addMembership(group, ownAddress)
  process.stdout.write('listening\n')
})
process.on('SIGTERM', () => {
  process.stdout.write(`${JSON.stringify({ forged: forgedCount })}\n`, () => process.exit(0))
})
