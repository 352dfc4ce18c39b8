import { decodeControl } from './control.ts'
import { formatId } from './ids.ts'
import { peekSealed } from './sealed.ts'
import type { ControlMessage, Deficit, SliceRange } from './messages.ts'
import {
  DATA_HEADER_BYTES,
  frameBytesAt,
  imageTagAt,
  packetTypeAt,
  PacketType,
  refusalVersions,
  sessionAt,
  sliceIndexAt,
  symbolIndexAt,
  versionAt,
} from './packet.ts'

/**
 * One packet in one line, for traces: what it is, then `name=value` pairs. Never throws for what is in the bytes. The form is for
 * people and may change.
 *
 * @example
 * describePacket(packet) // 'data session=00000000000000a1 tag=6f1b22c4 slice=812 symbol=183 frame=262208 payload=1448'
 */
export function describePacket(bytes: Uint8Array): string {
  const type = packetTypeAt(bytes, 0, bytes.length)
  switch (type) {
    case PacketType.data:
      return (
        `data ${identity(bytes)} slice=${sliceIndexAt(bytes, 0)} symbol=${symbolIndexAt(bytes, 0)} ` +
        `frame=${frameBytesAt(bytes, 0)} payload=${bytes.length - DATA_HEADER_BYTES}`
      )
    case PacketType.control: {
      const message = decodeControl(bytes, 0, bytes.length)
      if (typeof message === 'string') return `${message} ${identity(bytes)} bytes=${bytes.length}`
      return [message.kind, identity(bytes), ...describeMessage(message)].join(' ')
    }
    case PacketType.sealed: {
      const message = peekSealed(bytes, 0, bytes.length)
      if (typeof message === 'string') return `${message} ${identity(bytes)} bytes=${bytes.length}`
      return [`sealed ${message.kind}`, identity(bytes), ...describeMessage(message)].join(' ')
    }
    case PacketType.refusal: {
      const { oldest, newest } = refusalVersions(bytes, 0)
      return `refusal ${identity(bytes)} versions=${oldest}..${newest}`
    }
    case 'other-version':
      return `${type} version=${versionAt(bytes, 0)} bytes=${bytes.length}`
    case 'too-short':
    case 'not-ours':
    case 'unknown-type':
      return `${type} bytes=${bytes.length}`
  }
}

const identity = (bytes: Uint8Array): string =>
  `session=${formatId(sessionAt(bytes, 0))} tag=${imageTagAt(bytes, 0).toString(16).padStart(8, '0')}`

function describeMessage(message: ControlMessage): string[] {
  switch (message.kind) {
    case 'announce':
      return [
        `image=${quote(message.imageId)}`,
        `name=${quote(message.imageName)}`,
        `bytes=${message.imageBytes ?? 'unknown'}`,
        `slice=${message.sliceBytes}`,
        `packet=${message.packetBytes}`,
        `codec=${message.codec}`,
        `phase=${message.phase}`,
        `begun=${message.begunCount}`,
        `grttUs=${message.feedback.grttUs}`,
        `group=${message.feedback.groupCount}`,
        `reportMs=${message.feedback.reportIntervalMs}`,
        `timeoutMs=${message.feedback.receiverTimeoutMs}`,
        `joinLimit=${message.feedback.joinLimit}`,
        `sentAtUs=${message.sentAtUs}`,
        `bitsPerSec=${message.rateBitsPerSec}`,
        ...(message.expectedSliceCount === undefined ? [] : [`expected=${message.expectedSliceCount}`]),
      ]
    case 'join': {
      const settled = message.settled === undefined ? [] : [`settled=${list(message.settled, formatRange)}`]
      return [`receiver=${formatId(message.receiver)}`, `name=${quote(message.name)}`, ...settled]
    }
    case 'done':
      return [`receiver=${formatId(message.receiver)}`, `name=${quote(message.name)}`]
    case 'join-ack':
    case 'done-ack':
      return [`receivers=${list(message.receivers, formatId)}`]
    case 'report':
      return [
        `receiver=${formatId(message.receiver)}`,
        `name=${quote(message.name)}`,
        `settled=${message.settledCount}`,
        `below=${message.settledBelow}`,
        `received=${message.receivedPackets}`,
        `lost=${message.lostPackets}`,
        `queue=${message.queuePercent}%`,
        `echoUs=${message.echoSentAtUs}`,
        `heldUs=${message.echoHeldUs}`,
      ]
    case 'nack':
      return [
        `receiver=${formatId(message.receiver)}`,
        `deficits=${list(message.deficits, formatDeficit)}`,
        `missing=${list(message.missing, formatRange)}`,
      ]
    case 'repair-echo':
      return [
        `pending=${list(message.pending, ({ slice, symbolCount }) => `${slice}:${symbolCount}`)}`,
        `deferred=${list(message.deferred, formatRange)}`,
      ]
    case 'end':
      return [
        `slices=${message.sliceCount}`,
        `bytes=${message.imageBytes}`,
        `data=${message.dataBytes}`,
        `root=${message.rootDigest.reduce((hex, byte) => hex + byte.toString(16).padStart(2, '0'), '')}`,
        `closing=${message.isClosing}`,
      ]
    case 'leave':
      return [
        `receiver=${formatId(message.receiver)}`,
        `name=${quote(message.name)}`,
        `reason=${quote(message.reason)}`,
      ]
    case 'challenge':
      return [`nonce=${formatId(message.nonce)}`]
    case 'proof':
      return [`nonces=${list(message.nonces, formatId)}`]
    case 'abort':
      return [
        `receiver=${message.receiver === undefined ? 'all' : formatId(message.receiver)}`,
        `reason=${message.reason}`,
        `text=${quote(message.text)}`,
      ]
  }
}

/** Texts of control messages hold no control characters, so that a packet stays on its line. */
const quote = (text: string): string => JSON.stringify(text)

const list = <Item>(items: readonly Item[], format: (item: Item) => string): string =>
  `[${items.map(format).join(' ')}]`

/** "812:3/180": slice 812 needs 3 symbols, of which the highest index heard was 179. */
const formatDeficit = ({ slice, deficit, heard }: Deficit): string => `${slice}:${deficit}/${heard}`

const formatRange = ({ first, count }: SliceRange): string => `${first}+${count}`
