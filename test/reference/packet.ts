import type { Id64 } from '../../src/protocol/index.ts'

/** What the fixed part of a packet says. The three last are those of a data packet. */
export interface PacketFields {
  readonly version: number
  readonly type: number
  readonly session: Id64
  readonly tag: number
  readonly slice: number
  readonly frameBytes: number
  readonly symbol: number
}

/** The 24 bytes of a data packet's header, field by field through a DataView, as docs/protocol.md lays them out. */
export function encodeHeaderReference(fields: PacketFields): Uint8Array {
  const view = new DataView(new ArrayBuffer(24))
  view.setUint8(0, 'S'.charCodeAt(0))
  view.setUint8(1, 'k'.charCodeAt(0))
  view.setUint8(2, fields.version)
  view.setUint8(3, fields.type)
  view.setBigUint64(4, (BigInt(fields.session.high) << 32n) + BigInt(fields.session.low))
  view.setUint32(12, fields.tag)
  view.setUint32(16, fields.slice)
  view.setUint8(20, Math.floor(fields.frameBytes / 65_536))
  view.setUint16(21, fields.frameBytes % 65_536)
  view.setUint8(23, fields.symbol)
  return new Uint8Array(view.buffer)
}

/** Reads what {@link encodeHeaderReference} writes. */
export function decodeHeaderReference(bytes: Uint8Array): PacketFields {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const session = view.getBigUint64(4)
  return {
    version: view.getUint8(2),
    type: view.getUint8(3),
    session: { high: Number(session >> 32n), low: Number(session & 0xffff_ffffn) },
    tag: view.getUint32(12),
    slice: view.getUint32(16),
    frameBytes: view.getUint8(20) * 65_536 + view.getUint16(21),
    symbol: view.getUint8(23),
  }
}
