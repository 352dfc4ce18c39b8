import { sourceSymbolCount } from '../../protocol/index.ts'

interface Held {
  readonly frame: Uint8Array
  readonly sourceCount: number
  sentUs: number
}

/** The encoded frames in memory, bounded by the machine's window, oldest first. */
export class FrameWindow {
  readonly #frames = new Map<number, Held>()
  readonly #symbolBytes: number

  constructor(symbolBytes: number) {
    this.#symbolBytes = symbolBytes
  }

  get size(): number {
    return this.#frames.size
  }

  /** The slice held longest; Infinity when none is. During the first pass also the lowest. */
  get first(): number {
    for (const sliceIndex of this.#frames.keys()) return sliceIndex
    return Infinity
  }

  has(sliceIndex: number): boolean {
    return this.#frames.has(sliceIndex)
  }

  add(sliceIndex: number, frame: Uint8Array): void {
    this.#frames.set(sliceIndex, {
      frame,
      sourceCount: sourceSymbolCount(frame.length, this.#symbolBytes),
      sentUs: Infinity,
    })
  }

  frame(sliceIndex: number): Uint8Array | undefined {
    return this.#frames.get(sliceIndex)?.frame
  }

  sourceSymbolCount(sliceIndex: number): number | undefined {
    return this.#frames.get(sliceIndex)?.sourceCount
  }

  /** The first pass has sent the last of the slice. */
  noteSent(nowUs: number, sliceIndex: number): void {
    const held = this.#frames.get(sliceIndex)
    if (held !== undefined) held.sentUs = nowUs
  }

  /** When the first pass had sent the slice; Infinity when it has not, or the slice is not held. */
  sentUs(sliceIndex: number): number {
    return this.#frames.get(sliceIndex)?.sentUs ?? Infinity
  }

  /** The slice held longest that may go, or undefined. Looks at no more than the first eight, which are the oldest. */
  oldest(mayGo: (sliceIndex: number) => boolean): number | undefined {
    let looked = 0
    for (const sliceIndex of this.#frames.keys()) {
      if (mayGo(sliceIndex)) return sliceIndex
      if (++looked === 8) return undefined
    }
    return undefined
  }

  remove(sliceIndex: number): Uint8Array | undefined {
    const held = this.#frames.get(sliceIndex)
    this.#frames.delete(sliceIndex)
    return held?.frame
  }
}
