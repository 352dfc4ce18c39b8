import { loadLibc, type Libc } from './libc.ts'

const FALLOC_FL_KEEP_SIZE = 0x01
const FALLOC_FL_PUNCH_HOLE = 0x02
const FALLOC_FL_ZERO_RANGE = 0x10

/**
 * Ways to have the kernel zero a range of a device, best first: give its space back, where the device then reads zeros for
 * certain; else zero it by the device's own means or, without such, by the kernel's writing (Linux block/fops.c, blkdev_fallocate).
 */
const MODES = [FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE] as const

/** What fallocate(2) wants position and length of a device's range to be multiples of: its logical block, 512 or 4096 bytes. */
const ALIGNMENT_BYTES = 4096
/** Most bytes zeroed by one call, so that giving up takes effect soon also on a slow device. */
const CALL_BYTES = 256 * 1024 * 1024
/** Zeros that one ordinary write takes. */
const WRITE_BYTES = 1024 * 1024

type Write = (position: number, bytes: Uint8Array) => Promise<void>

/** Makes ranges of a block device read as zeros. Borrows the descriptor. */
export class DeviceZeroer {
  readonly #fd: number
  readonly #libc: Libc | undefined = loadLibc()
  readonly #write: Write
  #modeIndex = 0
  #zeros: Uint8Array | undefined

  /** `write` is for what fallocate(2) does not take: unaligned ends, and all where the foreign function interface is missing. */
  constructor(fd: number, write: Write) {
    this.#fd = fd
    this.#write = write
  }

  /** Rejects with what `write` rejects with. */
  async zero(position: number, lengthBytes: number): Promise<void> {
    const end = position + lengthBytes
    const from = Math.ceil(position / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    const to = Math.floor(end / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    if (from >= to) return this.#writeZeros(position, end)
    await this.#writeZeros(position, from)
    for (let at = from; at < to; at += CALL_BYTES) await this.#zeroAligned(at, Math.min(at + CALL_BYTES, to))
    await this.#writeZeros(to, end)
  }

  async #zeroAligned(from: number, to: number): Promise<void> {
    while (this.#libc && this.#modeIndex < MODES.length) {
      const tried = this.#modeIndex
      const result = await this.#libc.fallocate(this.#fd, MODES[tried]!, from, to - from)
      if (result === 0) return
      // Whatever the reason, the next way decides; at last it is the writing that fails or not. Another call may have moved on.
      this.#modeIndex = Math.max(this.#modeIndex, tried + 1)
    }
    await this.#writeZeros(from, to)
  }

  async #writeZeros(from: number, to: number): Promise<void> {
    if (from >= to) return
    this.#zeros ??= new Uint8Array(WRITE_BYTES)
    for (let at = from; at < to; at += WRITE_BYTES) {
      await this.#write(at, this.#zeros.subarray(0, Math.min(WRITE_BYTES, to - at)))
    }
  }
}
