import type { Lab } from './lab.ts'
import { startMeasured, type MeasuredProcess, type ProcessFigures } from './measured-process.ts'

export interface Command {
  readonly command: string
  readonly args: readonly string[]
}

export interface TransferPlan {
  /** Runs on host 0, started right after the receivers, without waiting for them. */
  readonly sender: Command
  /** Run on hosts 1 and up, in order; not more than the lab has. */
  readonly receivers: readonly Command[]
  /** For receivers that never end by themselves: what ends them once the sender has ended. */
  readonly endReceiversWith?: NodeJS.Signals
  /** After so long everything is killed and the transfer has failed. */
  readonly timeoutMs: number
}

/** What one transfer cost all hosts together. */
export interface TransferFigures {
  /** From the start of the first process to the end of the last, but for receivers that had to be ended. */
  readonly wholeRunMs: number
  /** From the start of the first process to the end of the sender, for programs whose receivers linger when all is done. */
  readonly untilSenderEndMs: number
  readonly sender: ProcessFigures
  readonly receivers: readonly ProcessFigures[]
  /** Bytes of Ethernet frames (without their checksum) that left the sender's host. */
  readonly sentBytes: number
  /** The same, that came back to it. */
  readonly feedbackBytes: number
  /** Packets that the lab lost, towards all hosts together. */
  readonly lostPacketCount: number
  /** Datagrams that found a full socket buffer, on all hosts together. */
  readonly socketDropCount: number
}

/**
 * Runs one transfer in a lab and measures it. All processes have ended when this settles.
 * @throws Error with the output of the process concerned: when one ends with a status other than 0 or the time is up.
 */
export async function measureTransfer(lab: Lab, plan: TransferPlan): Promise<TransferFigures> {
  const { endReceiversWith, timeoutMs } = plan
  if (plan.receivers.length > lab.receivers.length)
    throw new RangeError(`The lab has ${lab.receivers.length} receivers, ${plan.receivers.length} are wanted`)
  const before = snapshot(lab)
  const startedAtMs = performance.now()
  const receivers = plan.receivers.map((command, index) => start(lab, index + 1, command))
  const sender = start(lab, 0, plan.sender)
  const processes = [sender, ...receivers]
  const killAll = (): void => {
    for (const process of processes) process.kill('SIGKILL')
  }
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    killAll()
  }, timeoutMs)

  const done = async (process: MeasuredProcess, hostIndex: number): Promise<ProcessFigures> => {
    const figures = await process.figures
    const isEndedByUs = hostIndex > 0 && endReceiversWith !== undefined && !isLate
    if (figures.status === 0 || isEndedByUs) return figures
    const { command, args } = hostIndex === 0 ? plan.sender : plan.receivers[hostIndex - 1]!
    const lateness = isLate ? `, killed after ${timeoutMs} ms` : ''
    const line = [command, ...args].join(' ')
    throw new Error(`Host ${hostIndex}: ${line}: status ${figures.status}${lateness}\n${figures.output}`)
  }
  try {
    const senderDone = done(sender, 0).then((figures) => {
      if (endReceiversWith) for (const receiver of receivers) receiver.kill(endReceiversWith)
      return figures
    })
    const [senderFigures, ...receiverFigures] = await Promise.all([
      senderDone,
      ...receivers.map((receiver, index) => done(receiver, index + 1)),
    ])
    const timed = endReceiversWith ? [senderFigures] : [senderFigures, ...receiverFigures]
    const after = snapshot(lab)
    return {
      wholeRunMs: Math.max(...timed.map((figures) => figures.endedAtMs)) - startedAtMs,
      untilSenderEndMs: senderFigures.endedAtMs - startedAtMs,
      sender: senderFigures,
      receivers: receiverFigures,
      sentBytes: after.sentBytes - before.sentBytes,
      feedbackBytes: after.feedbackBytes - before.feedbackBytes,
      lostPacketCount: after.lostPacketCount - before.lostPacketCount,
      socketDropCount: after.socketDropCount - before.socketDropCount,
    }
  } finally {
    clearTimeout(timer)
    killAll()
    await Promise.allSettled(processes.map((process) => process.figures))
  }
}

const start = (lab: Lab, hostIndex: number, { command, args }: Command): MeasuredProcess =>
  startMeasured((...call) => lab.spawn(hostIndex, ...call), command, args)

type Snapshot = Pick<TransferFigures, 'sentBytes' | 'feedbackBytes' | 'lostPacketCount' | 'socketDropCount'>

function snapshot(lab: Lab): Snapshot {
  const hosts = lab.hosts.map((host) => lab.counters(host.index))
  return {
    sentBytes: hosts[0]!.sentBytes,
    feedbackBytes: hosts[0]!.receivedBytes,
    lostPacketCount: hosts.reduce((sum, host) => sum + host.lostPacketCount, 0),
    socketDropCount: hosts.reduce((sum, host) => sum + host.socketDropCount, 0),
  }
}
