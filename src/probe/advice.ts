import { formatBitrate } from '../ratelimit/index.ts'
import type { PathFindings, ProbeResult } from './prober.ts'

/** Receive and send buffers that a transfer asks for: less than this share of them is worth a word. */
const WANTED_RECV_BYTES = 8_388_608
const WANTED_SEND_BYTES = 4_194_304

/** Loss above this costs time: up to it, parity mends it nearly for nothing. Ours. */
const NOTABLE_LOSS_RATIO = 0.001

/** Round trips above this are no local network's. Ours. */
const LONG_ROUND_TRIP_MS = 20

/** A sender that comes up to less of the rate is what bounds it. */
const REACHED_RATIO = 0.9

/** What to change, in sentences; empty: nothing. */
export function adviceOf(result: ProbeResult): string[] {
  const { bitrate, sentBitsPerSec, sendBufferBytes, listeners } = result
  const advice: string[] = []
  if (sendBufferBytes < WANTED_SEND_BYTES) {
    advice.push(
      `this host gives a send buffer of ${kib(sendBufferBytes)} only: run as root, or sysctl -w net.core.wmem_max=${WANTED_SEND_BYTES}`,
    )
  }
  if (sentBitsPerSec < REACHED_RATIO * bitrate) {
    advice.push(
      `this host sent ${formatBitrate(sentBitsPerSec)} of ${formatBitrate(bitrate)}: its processor or its link is the limit`,
    )
  }
  return [...advice, ...listeners.flatMap((path) => adviceFor(path, result))]
}

function adviceFor(path: PathFindings, { mtuBytes, sentCount, bitrate }: ProbeResult): string[] {
  const { name, receivedCount, droppedCount, recvBufferBytes, roundTripMs, diskBytesPerSec } = path
  const advice: string[] = []
  const lostCount = Math.max(0, sentCount - receivedCount)
  const lost = `${name} lost ${percent(lostCount / Math.max(1, sentCount))} at ${formatBitrate(bitrate)}`
  if (path.mtuBytes === undefined) {
    advice.push(
      `${name} got no packet of any length that was tried, though it answers: look for a firewall that takes large packets for an attack`,
    )
  } else if (path.mtuBytes < mtuBytes) {
    advice.push(
      `packets of ${mtuBytes} bytes do not reach ${name}: send with --mtu ${path.mtuBytes}, or raise the MTU on the way`,
    )
  }
  if (lostCount > NOTABLE_LOSS_RATIO * sentCount) {
    const isOwn = droppedCount * 2 > lostCount
    advice.push(
      isOwn
        ? `${lost}, most of it because its socket was full: its processor is busy, or its buffer too small`
        : `${lost}, on the way: look at cables, duplex, switches (IGMP snooping without a querier, flow control), or cap the rate with --max-bitrate`,
    )
  }
  if (recvBufferBytes < WANTED_RECV_BYTES) {
    advice.push(
      `${name} gives a receive buffer of ${kib(recvBufferBytes)} only: run as root there, or sysctl -w net.core.rmem_max=${WANTED_RECV_BYTES}`,
    )
  }
  if (roundTripMs > LONG_ROUND_TRIP_MS) {
    advice.push(
      `${name} takes ${Math.round(roundTripMs)} ms to answer: the network is busy or long, repairs will take their time`,
    )
  }
  if (diskBytesPerSec !== undefined && diskBytesPerSec * 8 < bitrate) {
    advice.push(
      `the disk of ${name} writes ${formatBitrate(diskBytesPerSec * 8)}: slower than the network, and what a transfer will take`,
    )
  }
  return advice
}

const kib = (bytes: number): string => `${Math.round(bytes / 1024)} KiB`

const percent = (ratio: number): string => `${Number((100 * ratio).toPrecision(2))} %`
