// A stranger that hears a session and floods its sender with packets of its own.
//   node flooder.mjs GROUP PORT OWN_ADDRESS ADDRESSES PER_SECOND < PACKETS
//       PACKETS: one in hexadecimal digits a line; those that begin like a packet get the session's id. They are sent in turn, from
//       so many addresses of the network in turn, until SIGTERM, and every tenth to the group, too; then prints {"sent"} and ends
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { setInterval } from 'node:timers'
import { openRaw } from './raw-udp.mjs'

const [group, port, ownAddress, addressCount, perSecond] = process.argv.slice(2)
const TICK_MS = 5
const toGroup = { address: group, port: Number(port) }

const packets = readFileSync(0, 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => Buffer.from(line, 'hex'))
const network = ownAddress.slice(0, ownAddress.lastIndexOf('.'))
const sources = Array.from({ length: Number(addressCount) }, (_, index) => ({
  address: Number(addressCount) === 1 ? ownAddress : `${network}.${100 + index}`,
  port: 4000,
}))
const send = openRaw(ownAddress)
let sentCount = 0

/** The session, as its sender's packets begin with it: bytes 4 to 15. */
const listener = createSocket({ type: 'udp4', reuseAddr: true })
listener.once('message', (heard, sender) => {
  listener.close()
  for (const packet of packets)
    if (packet.length >= 16 && packet[0] === 0x53 && packet[1] === 0x6b) heard.copy(packet, 4, 4, 16)
  const beganMs = performance.now()
  setInterval(() => {
    const dueCount = ((performance.now() - beganMs) * Number(perSecond)) / 1000
    for (; sentCount < dueCount; sentCount++) {
      const [source, packet] = [sources[sentCount % sources.length], packets[sentCount % packets.length]]
      send(source, sender, packet)
      if (sentCount % 10 === 0) send(source, toGroup, packet)
    }
  }, TICK_MS)
})
listener.bind({ address: group, port: Number(port) }, () => {
  listener.addMembership(group, ownAddress)
  process.stdout.write('listening\n')
})
process.on('SIGTERM', () => {
  process.stdout.write(`${JSON.stringify({ sent: sentCount })}\n`, () => process.exit(0))
})
