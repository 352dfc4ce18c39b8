import {
  DIFF_BANNERS,
  DIFFS_BANNER,
  IMAGE_BANNER,
  PROTECTION_LENGTH_BYTES,
  RBD_LIMITS,
  type DiffVersion,
  type WritableRbdRecord,
} from './rbd-format.ts'

/**
 * Writes one record as the `rbd` tool does: a stream is its records one after the other (see `RbdRecord` for their order).
 * @param version of the diff that the record is part of; within an image, 2
 * @returns what to write, in order. The bytes of data are the record's own, not a copy
 * @throws RangeError when a number or text is out of the bounds of `RBD_LIMITS`, or when the version has no such record
 */
export function encodeRbdRecord(record: WritableRbdRecord, version: DiffVersion): readonly Uint8Array[] {
  switch (record.kind) {
    case 'image':
      return [utf8.encode(IMAGE_BANNER)]
    case 'order':
      return [tagged('O', 2, u64('order', record.order, RBD_LIMITS.leastOrder, RBD_LIMITS.mostOrder))]
    case 'features':
      return [tagged('T', 2, u64('bits', record.bits, 0, 2n ** 64n - 1n))]
    case 'stripe-unit':
      return [tagged('U', 2, u64('unitBytes', record.unitBytes))]
    case 'stripe-count':
      return [tagged('C', 2, u64('count', record.count))]
    case 'metadata': {
      const key = sized('key', record.key, RBD_LIMITS.nameBytes)
      return [tagged('M', 2, key, sized('value', record.value, RBD_LIMITS.valueBytes))]
    }
    case 'diffs':
      return [utf8.encode(`E${DIFFS_BANNER}`), u64('count', record.count, 1, RBD_LIMITS.diffCount)]
    case 'diff':
      return [utf8.encode(DIFF_BANNERS[record.version])]
    case 'from-snapshot':
      return [tagged('f', version, sized('name', record.name, RBD_LIMITS.nameBytes))]
    case 'to-snapshot':
      return [tagged('t', version, sized('name', record.name, RBD_LIMITS.nameBytes))]
    case 'protection':
      if (version === 1) throw new RangeError('protection: expected a diff of version 2, got version 1')
      return [joined(utf8.encode('p'), u64('', PROTECTION_LENGTH_BYTES), Uint8Array.of(record.isProtected ? 1 : 0))]
    case 'size':
      return [tagged('s', version, u64('sizeBytes', record.sizeBytes))]
    case 'data': {
      const { offset, bytes } = record
      const length = version === 1 ? NOTHING : u64('bytes', 16 + bytes.length)
      return [joined(utf8.encode('w'), length, extent(offset, bytes.length)), bytes]
    }
    case 'zeros':
      return [tagged('z', version, extent(record.offset, record.lengthBytes))]
    case 'end':
      return [utf8.encode('e')]
    default:
      return record satisfies never
  }
}

const utf8 = new TextEncoder()
const NOTHING = new Uint8Array(0)

function tagged(tag: string, version: DiffVersion, ...payload: readonly Uint8Array[]): Uint8Array {
  const lengthBytes = payload.reduce((sum, part) => sum + part.length, 0)
  return joined(utf8.encode(tag), version === 1 ? NOTHING : u64('', lengthBytes), ...payload)
}

const extent = (offset: number, lengthBytes: number): Uint8Array =>
  joined(u64('offset', offset), u64('lengthBytes', lengthBytes, 0, Number.MAX_SAFE_INTEGER - offset))

function sized(label: string, value: string, mostBytes: number): Uint8Array {
  const bytes = utf8.encode(value)
  if (bytes.length > mostBytes)
    throw new RangeError(`${label}: expected at most ${mostBytes} bytes, got ${bytes.length}`)
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, bytes.length, true)
  return joined(length, bytes)
}

function u64(
  label: string,
  value: number | bigint,
  least = 0,
  most: number | bigint = Number.MAX_SAFE_INTEGER,
): Uint8Array {
  const isWhole = typeof value === 'bigint' || Number.isInteger(value)
  if (!isWhole || value < least || value > most)
    throw new RangeError(`${label}: expected a whole number from ${least} to ${most}, got ${value}`)
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true)
  return bytes
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
