import {
  DATA_HEADER_BYTES,
  encodeDataFieldsInto,
  encodePrefixInto,
  imageTag,
  PacketType,
  PREFIX_BYTES,
} from '../../protocol/index.ts'
import type { PacketGuard } from '../../protocol/index.ts'
import type { ParityEncoder, SenderMachineOptions } from './sender-options.ts'

/** Writes data packets: one header, one symbol, always the session's packet size. */
export class PacketWriter {
  readonly #prefix = new Uint8Array(PREFIX_BYTES)
  readonly #symbolBytes: number
  readonly #packetBytes: number
  readonly #encoder: ParityEncoder
  readonly #guard: PacketGuard | undefined
  /** The frame that the encoder holds. */
  #loaded: Uint8Array | undefined

  constructor(options: Pick<SenderMachineOptions, 'session' | 'imageId' | 'geometry' | 'encoder' | 'trust'>) {
    encodePrefixInto(this.#prefix, 0, PacketType.data, options.session, imageTag(options.imageId))
    this.#symbolBytes = options.geometry.symbolBytes
    this.#packetBytes = options.geometry.packetBytes
    this.#encoder = options.encoder
    this.#guard = options.trust?.guard
  }

  /** Writes the packet with that symbol of `frame` to `into` at `at`. */
  writeInto(into: Uint8Array, at: number, slice: number, frame: Uint8Array, sourceCount: number, symbol: number): void {
    const symbolBytes = this.#symbolBytes
    into.set(this.#prefix, at)
    encodeDataFieldsInto(into, at, slice, frame.length, symbol)
    const body = at + DATA_HEADER_BYTES
    if (symbol < sourceCount) {
      const from = symbol * symbolBytes
      const piece = frame.subarray(from, from + symbolBytes)
      into.set(piece, body)
      if (piece.length < symbolBytes) into.fill(0, body + piece.length, body + symbolBytes)
    } else {
      if (this.#loaded !== frame) {
        this.#encoder.load(frame, symbolBytes)
        this.#loaded = frame
      }
      this.#encoder.parityInto(symbol, into, body)
    }
    this.#guard?.tagInto(into, at, this.#packetBytes)
  }

  /** The frame's buffer will be used for another slice: what was loaded from it is no longer it. */
  forget(frame: Uint8Array): void {
    if (this.#loaded === frame) this.#loaded = undefined
  }
}
