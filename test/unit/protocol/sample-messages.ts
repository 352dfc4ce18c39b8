import {
  LIMITS,
  MAX_GRTT_US,
  MAX_RECEIVER_COUNT,
  MAX_SLICE_COUNT,
  MAX_SYMBOL_COUNT,
  type Abort,
  type Announce,
  type ControlMessage,
  type Done,
  type End,
  type Id64,
  type Join,
  type JoinAck,
  type Leave,
  type Nack,
  type RepairEcho,
  type Report,
} from '../../../src/protocol/index.ts'

export const SESSION: Id64 = { high: 0x0123_4567, low: 0x89ab_cdef }
export const TAG = 0xfeed_f00d
export const RECEIVER: Id64 = { high: 0xffff_fffe, low: 0x8000_0001 }

/** One message of each kind, with small values. */
export const ANNOUNCE: Announce = {
  kind: 'announce',
  imageId: 'disk-7',
  imageName: 'Disk 7',
  imageBytes: 1_099_511_627_776,
  sliceBytes: 262_144,
  packetBytes: 1472,
  codec: 1,
  phase: 'sending',
  begunCount: 812,
  feedback: { grttUs: 5000, groupCount: 12, reportIntervalMs: 100, receiverTimeoutMs: 30_000, joinLimit: 65_536 },
  sentAtUs: 4_000_000_000,
  rateBitsPerSec: 9_400_000_000,
  expectedSliceCount: 1640,
}
export const JOIN: Join = { kind: 'join', receiver: RECEIVER, name: 'node-1' }

const RESUMED_JOIN: Join = {
  ...JOIN,
  settled: [
    { first: 0, count: 811 },
    { first: 815, count: 3 },
  ],
}
export const JOIN_ACK: JoinAck = { kind: 'join-ack', receivers: [RECEIVER, { high: 0, low: 1 }] }
export const REPORT: Report = {
  kind: 'report',
  receiver: RECEIVER,
  name: 'node-1',
  settledCount: 800,
  settledBelow: 790,
  receivedPackets: 18_200,
  lostPackets: 3,
  queuePercent: 100,
  echoSentAtUs: 4_000_000_000,
  echoHeldUs: 70_000,
}
export const NACK: Nack = {
  kind: 'nack',
  receiver: RECEIVER,
  deficits: [
    { slice: 0, deficit: 3, heard: 182 },
    { slice: 812, deficit: 255, heard: 0 },
  ],
  missing: [{ first: 813, count: 7 }],
}
export const REPAIR_ECHO: RepairEcho = {
  kind: 'repair-echo',
  pending: [{ slice: 0, symbolCount: 3 }],
  deferred: [{ first: 4, count: 2 }],
}
export const END: End = {
  kind: 'end',
  sliceCount: 4000,
  imageBytes: 1_099_511_627_776,
  dataBytes: 1_048_576_000,
  rootDigest: Uint8Array.from({ length: 32 }, (_, index) => index),
  isClosing: true,
}
export const DONE: Done = { kind: 'done', receiver: RECEIVER, name: 'node-1' }
export const LEAVE: Leave = { kind: 'leave', receiver: RECEIVER, name: 'node-1', reason: 'disk full' }
export const ABORT: Abort = { kind: 'abort', reason: 'sender-failed', text: 'the disk failed' }

export const SAMPLES: readonly ControlMessage[] = [
  ANNOUNCE,
  JOIN,
  RESUMED_JOIN,
  JOIN_ACK,
  REPORT,
  NACK,
  REPAIR_ECHO,
  END,
  DONE,
  { kind: 'done-ack', receivers: [RECEIVER] },
  LEAVE,
  ABORT,
  { kind: 'challenge', nonce: RECEIVER },
  { kind: 'proof', nonces: [RECEIVER, SESSION] },
]

const LONGEST = 'x'.repeat(LIMITS.textBytes)
const LARGEST_ID: Id64 = { high: 0xffff_ffff, low: 0xffff_ffff }
const MAX_WORD = 0xffff_ffff
const times = <Item>(count: number, item: Item): Item[] => Array.from({ length: count }, () => item)
const LAST_SLICE = MAX_SLICE_COUNT - 1
// Of all ranges, the pair that takes most bytes.
const WIDEST = { first: MAX_SLICE_COUNT / 2, count: MAX_SLICE_COUNT / 2 }

/** One message of each kind with every value, text and list at its limit: what takes most bytes. */
export const LARGEST: readonly ControlMessage[] = [
  {
    kind: 'announce',
    imageId: LONGEST,
    imageName: LONGEST,
    imageBytes: Number.MAX_SAFE_INTEGER,
    sliceBytes: MAX_WORD,
    packetBytes: MAX_WORD,
    codec: MAX_WORD,
    phase: 'mending',
    begunCount: MAX_SLICE_COUNT,
    feedback: {
      grttUs: MAX_GRTT_US,
      groupCount: MAX_RECEIVER_COUNT,
      reportIntervalMs: MAX_WORD,
      receiverTimeoutMs: MAX_WORD,
      joinLimit: 65_536,
    },
    sentAtUs: MAX_WORD,
    rateBitsPerSec: Number.MAX_SAFE_INTEGER,
    expectedSliceCount: MAX_SLICE_COUNT,
  },
  { kind: 'join', receiver: LARGEST_ID, name: LONGEST, settled: times(LIMITS.rangesPerMessage, WIDEST) },
  { kind: 'join-ack', receivers: times(LIMITS.acknowledgedReceivers, LARGEST_ID) },
  {
    kind: 'report',
    receiver: LARGEST_ID,
    name: LONGEST,
    settledCount: MAX_SLICE_COUNT,
    settledBelow: MAX_SLICE_COUNT,
    receivedPackets: MAX_WORD,
    lostPackets: MAX_WORD,
    queuePercent: 100,
    echoSentAtUs: MAX_WORD,
    echoHeldUs: MAX_WORD,
  },
  {
    kind: 'nack',
    receiver: LARGEST_ID,
    deficits: times(LIMITS.slicesPerMessage, { slice: LAST_SLICE, deficit: MAX_SYMBOL_COUNT, heard: MAX_SYMBOL_COUNT }),
    missing: times(LIMITS.rangesPerMessage, WIDEST),
  },
  {
    kind: 'repair-echo',
    pending: times(LIMITS.slicesPerMessage, { slice: LAST_SLICE, symbolCount: MAX_SYMBOL_COUNT }),
    deferred: times(LIMITS.rangesPerMessage, WIDEST),
  },
  {
    kind: 'end',
    sliceCount: MAX_SLICE_COUNT,
    imageBytes: Number.MAX_SAFE_INTEGER,
    dataBytes: Number.MAX_SAFE_INTEGER,
    rootDigest: new Uint8Array(LIMITS.digestBytes),
    isClosing: true,
  },
  { kind: 'done', receiver: LARGEST_ID, name: LONGEST },
  { kind: 'done-ack', receivers: times(LIMITS.acknowledgedReceivers, LARGEST_ID) },
  { kind: 'leave', receiver: LARGEST_ID, name: LONGEST, reason: LONGEST },
  { kind: 'abort', receiver: LARGEST_ID, reason: 'too-many-receivers', text: LONGEST },
  { kind: 'challenge', nonce: LARGEST_ID },
  { kind: 'proof', nonces: times(LIMITS.noncesPerMessage, LARGEST_ID) },
]
