import { createCipheriv, type Cipher, type KeyObject } from 'node:crypto'
import {
  DATA_HEADER_BYTES,
  MAX_SYMBOL_COUNT,
  PACKET_TAG_BYTES,
  PREFIX_BYTES,
  sliceIndexAt,
  symbolIndexAt,
  type PacketGuard,
} from '../protocol/index.ts'
import { compileWasm, type WasmMemory, type WasmNumber } from '../wasm.ts'
import { WASM_BASE64 } from './generated/nh.ts'

/** Bytes of AES's block: one pad. */
const BLOCK_BYTES = 16

/** Slices whose pads are kept: more than are being repaired at any moment. 4 KiB each. Ours. */
const CACHED_SLICES = 32

/** What one step of the hash takes in, bytes. */
const STEP_BYTES = 32

interface Pads {
  slice: number
  readonly blocks: DataView
  bytes: Uint8Array
}

interface Kernel {
  readonly memory: WasmMemory
  readonly CAPACITY: WasmNumber
  readonly KEY: WasmNumber
  readonly MESSAGE: WasmNumber
  readonly OUTPUT: WasmNumber
  readonly hash: (lengthBytes: number, low: number, high: number) => void
}

let instantiate: (() => unknown) | undefined

/**
 * Tags data packets so that a forged one is told before it is taken in: a Wegman-Carter authenticator of 8 bytes.
 *
 * tag = NH(bytes 16 to the tag) + AES(slice · 256 + symbol), modulo 2^64. A forgery passes with a chance of 2^-32 (NH is 2^-32-almost
 * Δ-universal: Black et al., "UMAC: Fast and Secure Message Authentication", 1999); then the frame's own tag, of 128 bits, catches it,
 * and it has cost one slice sent again. A pad is never used for two messages: within a session a symbol is always the same bytes,
 * which {@link FrameSealer} sees to.
 *
 * Memory: 130 KiB for the kernel, 4 KiB a slice of the 32 whose pads are kept.
 */
export class NhPacketGuard implements PacketGuard {
  readonly #kernel: Kernel
  readonly #message: Uint8Array
  readonly #output: Uint8Array
  readonly #cipher: Cipher
  readonly #pads: readonly Pads[]
  readonly #input = new Uint8Array(MAX_SYMBOL_COUNT * BLOCK_BYTES)
  /** Bytes of the message before that were not zero. */
  #dirtyBytes = 0

  /** Two keys of 32 bytes: one that NH's key is drawn from, one for the pads. */
  constructor(hashKey: KeyObject, padKey: KeyObject) {
    instantiate ??= compileWasm(WASM_BASE64)
    this.#kernel = instantiate() as Kernel
    const { memory, KEY, MESSAGE, OUTPUT, CAPACITY } = this.#kernel
    const stream = createCipheriv('aes-256-ctr', hashKey, new Uint8Array(BLOCK_BYTES))
    new Uint8Array(memory.buffer, KEY.value, CAPACITY.value).set(stream.update(new Uint8Array(CAPACITY.value)))
    this.#message = new Uint8Array(memory.buffer, MESSAGE.value, CAPACITY.value)
    this.#output = new Uint8Array(memory.buffer, OUTPUT.value, PACKET_TAG_BYTES)
    // ECB is AES block by block, which is what pads are; nothing else is encrypted with this key.
    this.#cipher = createCipheriv('aes-256-ecb', padKey, null).setAutoPadding(false)
    this.#pads = Array.from({ length: CACHED_SLICES }, () => {
      const bytes = new Uint8Array(MAX_SYMBOL_COUNT * BLOCK_BYTES)
      return { slice: -1, bytes, blocks: new DataView(bytes.buffer) }
    })
  }

  tagInto(packet: Uint8Array, at: number, lengthBytes: number): void {
    this.#hash(packet, at, lengthBytes)
    packet.set(this.#output, at + lengthBytes - PACKET_TAG_BYTES)
  }

  isGenuine(packet: Uint8Array, at: number, lengthBytes: number): boolean {
    if (lengthBytes < DATA_HEADER_BYTES + PACKET_TAG_BYTES || symbolIndexAt(packet, at) >= MAX_SYMBOL_COUNT)
      return false
    this.#hash(packet, at, lengthBytes)
    const tagAt = at + lengthBytes - PACKET_TAG_BYTES
    // No byte more or less is compared for a wrong one: the time tells nothing.
    let difference = 0
    for (let index = 0; index < PACKET_TAG_BYTES; index++) difference |= packet[tagAt + index]! ^ this.#output[index]!
    return difference === 0
  }

  #hash(packet: Uint8Array, at: number, lengthBytes: number): void {
    const messageBytes = lengthBytes - PREFIX_BYTES - PACKET_TAG_BYTES
    const from = at + PREFIX_BYTES
    this.#message.set(packet.subarray(from, from + messageBytes))
    const end = Math.ceil(messageBytes / STEP_BYTES) * STEP_BYTES
    if (this.#dirtyBytes !== messageBytes) {
      this.#message.fill(0, messageBytes, end)
      this.#dirtyBytes = messageBytes
    }
    const pads = this.#padsOf(sliceIndexAt(packet, at))
    const pad = symbolIndexAt(packet, at) * BLOCK_BYTES
    this.#kernel.hash(end, pads.getUint32(pad, true), pads.getUint32(pad + 4, true))
  }

  /** The pads of a slice: AES of slice · 256 + symbol, as a big-endian integer of 16 bytes, for each symbol. */
  #padsOf(slice: number): DataView {
    const pads = this.#pads[slice % CACHED_SLICES]!
    if (pads.slice === slice) return pads.blocks
    const input = new DataView(this.#input.buffer)
    for (let symbol = 0; symbol < MAX_SYMBOL_COUNT; symbol++) {
      input.setUint32(symbol * BLOCK_BYTES + 8, slice >>> 24)
      input.setUint32(symbol * BLOCK_BYTES + 12, ((slice << 8) | symbol) >>> 0)
    }
    pads.bytes.set(this.#cipher.update(this.#input))
    pads.slice = slice
    return pads.blocks
  }
}
