// Both machines driven by hand, without sockets or a clock: one slice goes over while every tenth packet is lost.
//   node machines-by-hand.js
import { FecDecoder, FecEncoder } from 'skilfish/fec'
import { Codec, planGeometry, type Transmit } from 'skilfish/protocol'
import { ReceiverMachine } from 'skilfish/receiver'
import { SenderMachine } from 'skilfish/sender'

// The machines carry frames without looking into them (frames and digests are the drivers' job), so any bytes will do here.
const frame = crypto.getRandomValues(new Uint8Array(60_000))
const end = { sliceCount: 1, imageBytes: 65_536, dataBytes: 65_536, rootDigest: new Uint8Array(32) }

const sender = new SenderMachine(0, {
  ...{ session: { high: 1, low: 2 }, imageId: 'id', imageName: 'name', imageBytes: end.imageBytes, codec: Codec.none },
  ...{ geometry: planGeometry({ family: 4 }), overheadBytes: 28, encoder: new FecEncoder() },
  ...{ minReceivers: 1, minWaitUs: 0, maxWaitUs: undefined, startTimeoutUs: undefined, receiverTimeoutUs: 5e6 },
  ...{ windowSlices: 4, canReread: false, onSlow: 'wait', fec: 'off', maxBitrate: 100e6 },
})
const receiver = new ReceiverMachine(0, {
  ...{ receiverId: { high: 3, low: 4 }, name: 'by hand', codecs: [Codec.none], decoder: new FecDecoder() },
  ...{ random: Math.random, receiveTimeoutUs: 5e6, bufferSlices: 4, isSequential: false },
})

let nowUs = 0
let packetCount = 0
let isGiven = false
const arrived: Uint8Array[] = []
const packets = new Uint8Array(65_536)

/** Hands packets to the other machine, but for every tenth. */
function carry(sent: Transmit | undefined, to: SenderMachine | ReceiverMachine): boolean {
  for (let at = 0; sent && at < sent.bytes; at += sent.segmentBytes) {
    const packet = packets.subarray(at, Math.min(at + sent.segmentBytes, sent.bytes))
    if (++packetCount % 10 !== 0) to.handleDatagram(nowUs, { address: 'by hand', port: 1 }, packet)
  }
  return sent !== undefined
}

function handleEvents(): void {
  for (let event = sender.pollEvent(); event; event = sender.pollEvent()) {
    if (event.kind !== 'next') continue
    sender.handleCommand(nowUs, isGiven ? { kind: 'end', end } : { kind: 'frame', slice: 0, frame })
    isGiven = true
  }
  for (let event = receiver.pollEvent(); event; event = receiver.pollEvent()) {
    if (event.kind === 'session') receiver.handleCommand(nowUs, { kind: 'opened' })
    if (event.kind === 'complete') receiver.handleCommand(nowUs, { kind: 'finished' })
    if (event.kind !== 'slice') continue
    arrived.push(event.frame.slice())
    receiver.handleCommand(nowUs, { kind: 'settled', slice: event.slice })
  }
}

for (;;) {
  handleEvents()
  if (carry(sender.pollTransmit(nowUs, packets), receiver)) continue
  if (carry(receiver.pollTransmit(nowUs, packets), sender)) continue
  // Nothing more to say at this time: on to the moment for which one of them has a plan.
  const nextUs = Math.min(sender.pollTimeout() ?? Infinity, receiver.pollTimeout() ?? Infinity)
  if (nextUs === Infinity) break
  nowUs = nextUs
  sender.handleTimeout(nowUs)
  receiver.handleTimeout(nowUs)
}

const { parityUsed, packets: dataPackets } = receiver.stats()
const outcome = Buffer.concat(arrived).equals(frame) ? 'the slice has arrived' : 'the slice has not arrived'
console.log(`${outcome} after ${nowUs / 1000} ms of virtual time`)
console.log(`${packetCount} packets sent, ${dataPackets} of data received, ${parityUsed} symbols rebuilt from parity`)
