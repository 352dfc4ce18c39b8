// A relay between two groups that damages packets: `node corrupting-relay.mjs INTERFACE FROM_GROUP TO_GROUP PORT PERIOD`.
// What comes to FROM_GROUP goes out to TO_GROUP, what receivers answer goes to the sender. Of the data packets, one in PERIOD has
// a bit turned over, somewhere behind the first 16 bytes; the kernel gives it a checksum that is right. At its end (SIGTERM) it
// prints how many it has damaged.
import { createSocket } from 'node:dgram'

const [interfaceAddress, fromGroup, toGroup, portText, periodText] = process.argv.slice(2)
const port = Number(portText)
const period = Number(periodText)
const PREFIX_BYTES = 16
const DATA = 1
let sender
let passed = 0
let damaged = 0

// Receivers answer to where their packets come from: this socket.
const out = createSocket('udp4')
out.bind(0, interfaceAddress, () => {
  out.setMulticastInterface(interfaceAddress)
  out.setSendBufferSize(4 * 1024 * 1024)
})
out.on('message', (bytes) => {
  if (sender !== undefined) back.send(bytes, sender.port, sender.address)
})

// The sender's answers to this socket are none: all that it says goes to the group.
const back = createSocket('udp4')
back.bind(0, interfaceAddress)

const heard = createSocket({ type: 'udp4', reuseAddr: true, recvBufferSize: 8 * 1024 * 1024 })
heard.on('message', (bytes, from) => {
  sender = from
  if (bytes[3] === DATA && ++passed % period === 0) {
    const at = PREFIX_BYTES + Math.floor(Math.random() * (bytes.length - PREFIX_BYTES))
    bytes[at] ^= 1 << Math.floor(Math.random() * 8)
    damaged++
  }
  out.send(bytes, port, toGroup)
})
heard.bind(port, fromGroup, () => {
  heard.addMembership(fromGroup, interfaceAddress)
  process.stdout.write('ready\n')
})

process.on('SIGTERM', () => process.stdout.write(`${damaged}\n`, () => process.exit(0)))
