import { isZeroId, type Id64 } from './ids.ts'
import type { ControlMessage, Deficit, Feedback, SliceRange } from './messages.ts'
import {
  JOIN_DRAW_COUNT,
  LIMITS,
  MAX_GRTT_US,
  MAX_RECEIVER_COUNT,
  MAX_SLICE_COUNT,
  MAX_SYMBOL_COUNT,
  MIN_GRTT_US,
  MIN_REPORT_INTERVAL_MS,
} from './params.ts'
import { isWireText } from './text.ts'

const MAX_WORD = 0xffff_ffff

/** The first value of a message that is out of its bounds, as "name must be …, got …", or undefined when all are within. */
export function findLimitBreach(message: ControlMessage): string | undefined {
  switch (message.kind) {
    case 'announce':
      return (
        text('imageId', message.imageId) ??
        (message.imageId === '' ? 'imageId must not be empty' : undefined) ??
        text('imageName', message.imageName) ??
        whole('imageBytes', message.imageBytes ?? 0) ??
        whole('sliceBytes', message.sliceBytes, 1, MAX_WORD) ??
        whole('packetBytes', message.packetBytes, 1, MAX_WORD) ??
        whole('codec', message.codec, 0, MAX_WORD) ??
        whole('begunCount', message.begunCount, 0, MAX_SLICE_COUNT) ??
        feedback(message.feedback) ??
        whole('sentAtUs', message.sentAtUs, 0, MAX_WORD) ??
        whole('rateBitsPerSec', message.rateBitsPerSec) ??
        whole('expectedSliceCount', message.expectedSliceCount ?? 0, 0, MAX_SLICE_COUNT)
      )
    case 'join':
      return (
        receiver(message.receiver) ??
        text('name', message.name) ??
        each('settled', message.settled ?? [], LIMITS.rangesPerMessage, range)
      )
    case 'done':
      return receiver(message.receiver) ?? text('name', message.name)
    case 'join-ack':
    case 'done-ack':
      return each('receivers', message.receivers, LIMITS.acknowledgedReceivers, receiver)
    case 'report':
      return (
        receiver(message.receiver) ??
        text('name', message.name) ??
        whole('settledCount', message.settledCount, 0, MAX_SLICE_COUNT) ??
        whole('settledBelow', message.settledBelow, 0, MAX_SLICE_COUNT) ??
        whole('receivedPackets', message.receivedPackets, 0, MAX_WORD) ??
        whole('lostPackets', message.lostPackets, 0, MAX_WORD) ??
        whole('queuePercent', message.queuePercent, 0, 100) ??
        whole('echoSentAtUs', message.echoSentAtUs, 0, MAX_WORD) ??
        whole('echoHeldUs', message.echoHeldUs, 0, MAX_WORD)
      )
    case 'nack':
      return (
        receiver(message.receiver) ??
        each('deficits', message.deficits, LIMITS.slicesPerMessage, deficit) ??
        each('missing', message.missing, LIMITS.rangesPerMessage, range)
      )
    case 'repair-echo':
      return (
        each('pending', message.pending, LIMITS.slicesPerMessage, pending) ??
        each('deferred', message.deferred, LIMITS.rangesPerMessage, range)
      )
    case 'end':
      return (
        whole('sliceCount', message.sliceCount, 0, MAX_SLICE_COUNT) ??
        whole('imageBytes', message.imageBytes) ??
        whole('dataBytes', message.dataBytes, 0, message.imageBytes) ??
        whole('rootDigest.length', message.rootDigest.length, LIMITS.digestBytes, LIMITS.digestBytes)
      )
    case 'leave':
      return receiver(message.receiver) ?? text('name', message.name) ?? text('reason', message.reason)
    case 'challenge':
      return id('nonce', message.nonce)
    case 'proof':
      return each('nonces', message.nonces, LIMITS.noncesPerMessage, (nonce) => id('nonces', nonce))
    case 'abort':
      return (message.receiver && receiver(message.receiver)) ?? text('text', message.text)
  }
}

function whole(label: string, value: number, min = 0, max: number = Number.MAX_SAFE_INTEGER): string | undefined {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return undefined
  return `${label} must be a whole number from ${min} to ${max}, got ${value}`
}

function text(label: string, value: string): string | undefined {
  if (isWireText(value)) return undefined
  return `${label} must be one line of at most ${LIMITS.textBytes} bytes of UTF-8, got ${JSON.stringify(value)}`
}

function each<Item>(
  label: string,
  items: readonly Item[],
  maxCount: number,
  check: (item: Item) => string | undefined,
): string | undefined {
  if (items.length > maxCount) return `${label} must be at most ${maxCount}, got ${items.length}`
  for (const item of items) {
    const breach = check(item)
    if (breach !== undefined) return breach
  }
  return undefined
}

const id = (label: string, value: Id64): string | undefined =>
  whole(`${label}.high`, value.high, 0, MAX_WORD) ??
  whole(`${label}.low`, value.low, 0, MAX_WORD) ??
  (isZeroId(value) ? `${label} must not be 0` : undefined)

const receiver = (value: Id64): string | undefined => id('receiver', value)

const feedback = (timing: Feedback): string | undefined =>
  whole('grttUs', timing.grttUs, MIN_GRTT_US, MAX_GRTT_US) ??
  whole('groupCount', timing.groupCount, 0, MAX_RECEIVER_COUNT) ??
  whole('reportIntervalMs', timing.reportIntervalMs, MIN_REPORT_INTERVAL_MS, MAX_WORD) ??
  whole('receiverTimeoutMs', timing.receiverTimeoutMs, 1, MAX_WORD) ??
  whole('joinLimit', timing.joinLimit, 1, JOIN_DRAW_COUNT)

const deficit = (entry: Deficit): string | undefined =>
  whole('slice', entry.slice, 0, MAX_SLICE_COUNT - 1) ??
  whole('deficit', entry.deficit, 1, MAX_SYMBOL_COUNT) ??
  whole('heard', entry.heard, 0, MAX_SYMBOL_COUNT)

const pending = (entry: { readonly slice: number; readonly symbolCount: number }): string | undefined =>
  whole('slice', entry.slice, 0, MAX_SLICE_COUNT - 1) ?? whole('symbolCount', entry.symbolCount, 1, MAX_SYMBOL_COUNT)

const range = (slices: SliceRange): string | undefined =>
  whole('first', slices.first, 0, MAX_SLICE_COUNT - 1) ??
  whole('count', slices.count, 1, MAX_SLICE_COUNT - slices.first)
