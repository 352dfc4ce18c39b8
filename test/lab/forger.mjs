// A stranger that hears a session and sends packets of its own, from the sender's address and port, by a raw socket.
//   node forger.mjs GROUP PORT OWN_ADDRESS
//       for every tenth data packet sends one of its own; at SIGTERM prints {"forged"} and ends
import { createSocket } from 'node:dgram'
import { randomFillSync } from 'node:crypto'
import { openRaw } from './raw-udp.mjs'

const [group, port, ownAddress] = process.argv.slice(2)

const DATA = 1
const CONTROL = 2
const SEALED = 4

const send = openRaw(ownAddress)
const toGroup = { address: group, port: Number(port) }

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
  if (forged !== undefined && !send(from, toGroup, forged)) throw new Error('sendto failed')
})
listener.bind({ address: group, port: Number(port) }, () => {
  listener.setRecvBufferSize(4 * 1024 * 1024)
  listener.addMembership(group, ownAddress)
  process.stdout.write('listening\n')
})
process.on('SIGTERM', () => {
  process.stdout.write(`${JSON.stringify({ forged: forgedCount })}\n`, () => process.exit(0))
})
