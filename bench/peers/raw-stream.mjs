// A stream of datagrams over the sockets that Skilfish uses, with no protocol: what the system and Node.js can do at best.
//   node raw-stream.mjs recv GROUP SEGMENT_BYTES
//       counts what comes, reports it to the sender when that is done, and ends
//   node raw-stream.mjs send GROUP SEGMENT_BYTES TOTAL_BYTES RECEIVER_COUNT [BITS_PER_SEC]
//       waits until so many receivers have answered, sends TOTAL_BYTES rounded up to whole segments, and prints
//       {"sentBytes", "sendMs", "receivedBytes": [...]}
// A question is one byte. The system may join it to the data before it (UDP_GRO): it is what whole segments leave over. The answer is
// the same byte and the count of bytes that have come.
import { performance } from 'node:perf_hooks'
import { clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } from 'node:timers'
import { setTimeout as sleep } from 'node:timers/promises'
import { openUdpSocket, parseGroup, resolveInterface } from '../../dist/io/index.js'

const HELLO = 1
const HOW_MUCH = 2
const BYE = 3
const ANSWER_BYTES = 9

/** How often a question is sent until all have answered, and how many times at the most, milliseconds. */
const REPEAT_MS = 5
const MAX_REPEATS = 4000

/** How often receivers that miss something are asked again: a packet may overtake another from one processor to the next. */
const MAX_CHECKS = 40

/** Segments that one send may have, and its bytes over IPv4: what Linux allows. */
const MAX_SEGMENTS = 64
const MAX_RUN_BYTES = 65_507

/** Sends under way at once, and in one turn of the event loop, as many as Skilfish has. */
const MAX_SENDS = 8

/** A sender that woke up late makes up for no more than this, milliseconds. */
const MAX_LATE_MS = 4

let isClosing = false

const [role, group, segment, total, count, bitsPerSec] = process.argv.slice(2)
const segmentBytes = Number(segment)
const socket = await openUdpSocket({
  group: parseGroup(group, 9757),
  role: role === 'send' ? 'sender' : 'receiver',
  interface: resolveInterface('eth0', 4),
})
if (!socket.facts.offload) fail(`no offload: ${socket.facts.offloadNote}`)

if (role === 'send') await send()
else receive()

function receive() {
  let receivedBytes = 0
  const answer = new DataView(new ArrayBuffer(ANSWER_BYTES))
  socket.onMessage = (bytes, { address, port }) => {
    const restBytes = bytes.length % segmentBytes
    receivedBytes += bytes.length - restBytes
    if (restBytes === 0) return
    const question = bytes[bytes.length - 1]
    answer.setUint8(0, question)
    answer.setFloat64(1, receivedBytes)
    const done = question === BYE ? close : failOn
    socket.sendTo(new Uint8Array(answer.buffer.slice()), ANSWER_BYTES, address, port, done)
  }
}

async function send() {
  await askAll(HELLO)
  const sentBytes = Math.ceil(Number(total) / segmentBytes) * segmentBytes
  const sendMs = await stream(sentBytes, bitsPerSec ? Number(bitsPerSec) / 8000 : Infinity)
  let receivedBytes = await askAll(HOW_MUCH)
  for (let checks = 0; checks < MAX_CHECKS && receivedBytes.some((bytes) => bytes < sentBytes); checks++) {
    await sleep(REPEAT_MS)
    receivedBytes = await askAll(HOW_MUCH)
  }
  await askAll(BYE)
  console.log(JSON.stringify({ sentBytes, sendMs, receivedBytes }))
  await socket.close()
}

/** Resolves to what each receiver has got, in bytes, once all have answered. */
function askAll(question) {
  const counts = new Map()
  return new Promise((resolve) => {
    let repeats = 0
    const ask = () => {
      if (repeats++ === MAX_REPEATS) fail(`${counts.size} of ${count} receivers answer`)
      socket.sendToGroup(Uint8Array.of(question), 1, 1, failOn)
    }
    const timer = setInterval(ask, REPEAT_MS)
    socket.onMessage = (bytes, { address }) => {
      if (bytes.length !== ANSWER_BYTES || bytes[0] !== question) return
      counts.set(address, new DataView(bytes.buffer, bytes.byteOffset).getFloat64(1))
      if (counts.size < Number(count)) return
      clearInterval(timer)
      resolve([...counts.values()])
    }
    ask()
  })
}

/** Resolves to the time that it took, in ms, when the kernel has all. */
function stream(sentBytes, bytesPerMs) {
  const runBytes = Math.min(MAX_SEGMENTS, Math.floor(MAX_RUN_BYTES / segmentBytes)) * segmentBytes
  const buffer = new Uint8Array(runBytes).fill(0x55)
  const startMs = performance.now()
  let originMs = startMs
  let leftBytes = sentBytes
  let paidBytes = 0
  let sendCount = 0
  let timer
  return new Promise((resolve) => {
    const done = (error) => {
      failOn(error)
      sendCount--
      if (leftBytes === 0 && sendCount === 0) resolve(performance.now() - startMs)
      else pump()
    }
    const pump = () => {
      const nowMs = performance.now()
      // What is not caught up with is let go.
      originMs = Math.max(originMs, nowMs - paidBytes / bytesPerMs - MAX_LATE_MS)
      for (let turnCount = 0; leftBytes > 0 && sendCount < MAX_SENDS; turnCount++) {
        if (bytesPerMs !== Infinity && paidBytes > (nowMs - originMs) * bytesPerMs) {
          clearTimeout(timer)
          timer = setTimeout(pump, 1)
          return
        }
        if (turnCount === MAX_SENDS) {
          setImmediate(pump)
          return
        }
        const bytes = Math.min(runBytes, leftBytes)
        leftBytes -= bytes
        paidBytes += bytes
        const takenBytes = socket.sendToGroupNow(buffer, bytes, segmentBytes)
        if (takenBytes === bytes) continue
        sendCount++
        socket.sendToGroup(buffer.subarray(takenBytes), bytes - takenBytes, segmentBytes, done)
      }
      if (leftBytes === 0 && sendCount === 0) resolve(performance.now() - startMs)
    }
    pump()
  })
}

/** Once: the question may have come twice. */
function close(error) {
  if (!isClosing) failOn(error)
  isClosing = true
  void socket.close()
}

function failOn(error) {
  if (error) fail(error.message)
}

function fail(message) {
  console.error(message)
  process.exit(1)
}
