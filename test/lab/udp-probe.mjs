// A sender and a receiver of numbered datagrams that do nothing else, to test the lab with.
//   node udp-probe.mjs send GROUP PORT COUNT BYTES [SEGMENT]
//       sends COUNT datagrams of BYTES bytes as fast as the socket takes them; prints {"elapsedMs"}. With SEGMENT each of them is a
//       super-packet that the kernel's segmentation offload cuts into datagrams of that many bytes
//   node udp-probe.mjs recv GROUP PORT
//       prints a line when it has joined; at SIGTERM reads what is left, prints {"received"} and ends
import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { setTimeout } from 'node:timers'

/** As many as are handed to the kernel before the event loop runs again. */
const BATCH = 50

/** A socket on which nothing came for this long after the signal is taken for empty. */
const QUIET_MS = 200

const [role, group, port, count, bytes, segment] = process.argv.slice(2)
const type = isIPv6(group) ? 'udp6' : 'udp4'

if (role === 'send') await send()
else receive()

async function send() {
  const socket = createSocket(type)
  if (segment) await offload(socket, Number(segment))
  const payload = Buffer.alloc(Number(bytes), 0x55)
  const start = process.hrtime.bigint()
  for (let sent = 0; sent < Number(count);) {
    const batch = []
    for (; batch.length < BATCH && sent < Number(count); sent++) {
      batch.push(
        new Promise((resolve, reject) => {
          socket.send(payload, Number(port), group, (error) => (error ? reject(error) : resolve()))
        }),
      )
    }
    await Promise.all(batch)
  }
  console.log(JSON.stringify({ elapsedMs: Number(process.hrtime.bigint() - start) / 1e6 }))
  socket.close()
}

async function offload(socket, segmentBytes) {
  const { default: koffi } = await import('koffi')
  const setsockopt = koffi
    .load('libc.so.6')
    .func('int setsockopt(int fd, int level, int option, const int *value, uint32_t length)')
  await new Promise((resolve) => {
    socket.bind(0, resolve)
  })
  // SOL_UDP, UDP_SEGMENT: linux/udp.h
  if (setsockopt(socket._handle.fd, 17, 103, [segmentBytes], 4) !== 0) throw new Error('No UDP_SEGMENT here')
}

function receive() {
  const socket = createSocket(type)
  let received = 0
  socket.on('message', () => received++)
  socket.bind(Number(port), () => {
    // Without a named interface the system chooses by its multicast route, as it does for any program.
    socket.addMembership(group)
    console.log('joined')
  })
  process.once('SIGTERM', () => {
    const quiet = setTimeout(() => {
      console.log(JSON.stringify({ received }))
      socket.close()
    }, QUIET_MS)
    socket.on('message', () => quiet.refresh())
  })
}
