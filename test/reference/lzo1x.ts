// LZO1X decompression, a byte at a time, straight from the table of instructions in the Linux kernel's
// Documentation/staging/lzo.rst. Slow; shares nothing with the code under test.

export type ReferenceFault = 'input-overrun' | 'output-overrun' | 'lookbehind-overrun' | 'trailing-input'

/** The plain bytes of `source`, at most `capacityBytes`, or why there are none. */
export function decompressReference(source: Uint8Array, capacityBytes: number): Uint8Array | ReferenceFault {
  try {
    return decompress(source, capacityBytes)
  } catch (error) {
    if (error instanceof Refusal) return error.fault
    throw error
  }
}

class Refusal extends Error {
  readonly fault: ReferenceFault

  constructor(fault: ReferenceFault) {
    super(fault)
    this.fault = fault
  }
}

function decompress(source: Uint8Array, capacityBytes: number): Uint8Array {
  const plain: number[] = []
  let at = 0

  function take(): number {
    const byte = source[at++]
    if (byte === undefined) throw new Refusal('input-overrun')
    return byte
  }
  /** The lowest bits of an instruction, or if they are zero: all ones, 255 for each zero byte, and the first other byte. */
  function takeLength(bits: number, mask: number): number {
    if (bits !== 0) return bits
    let length = mask
    for (;;) {
      const byte = take()
      if (byte !== 0) return length + byte
      length += 255
    }
  }
  function takeDistance(): { readonly distance: number; readonly literals: number } {
    const low = take()
    const value = low + take() * 256
    return { distance: value >> 2, literals: value & 3 }
  }
  function copyLiterals(count: number): void {
    if (at + count > source.length) throw new Refusal('input-overrun')
    if (plain.length + count > capacityBytes) throw new Refusal('output-overrun')
    for (let n = 0; n < count; n++) plain.push(take())
  }
  function copyMatch(distance: number, length: number, literals: number): number {
    if (distance > plain.length) throw new Refusal('lookbehind-overrun')
    if (plain.length + length > capacityBytes) throw new Refusal('output-overrun')
    for (let n = 0; n < length; n++) plain.push(plain[plain.length - distance]!)
    copyLiterals(literals)
    return literals
  }

  // How many literals the last instruction copied; 4 stands for four and more.
  let state = 0
  if (source.length > 0 && source[0]! > 17) {
    const count = take() - 17
    copyLiterals(count)
    state = Math.min(count, 4)
  }
  for (;;) {
    const instruction = take()
    if (instruction >= 128) {
      const distance = take() * 8 + ((instruction >> 2) & 7) + 1
      state = copyMatch(distance, 5 + ((instruction >> 5) & 3), instruction & 3)
    } else if (instruction >= 64) {
      const distance = take() * 8 + ((instruction >> 2) & 7) + 1
      state = copyMatch(distance, 3 + ((instruction >> 5) & 1), instruction & 3)
    } else if (instruction >= 32) {
      const length = 2 + takeLength(instruction & 31, 31)
      const { distance, literals } = takeDistance()
      state = copyMatch(distance + 1, length, literals)
    } else if (instruction >= 16) {
      const length = 2 + takeLength(instruction & 7, 7)
      const { distance, literals } = takeDistance()
      const whole = 16384 + (instruction & 8 ? 16384 : 0) + distance
      if (whole === 16384) {
        if (at < source.length) throw new Refusal('trailing-input')
        return Uint8Array.from(plain)
      }
      state = copyMatch(whole, length, literals)
    } else if (state === 0) {
      copyLiterals(3 + takeLength(instruction, 15))
      state = 4
    } else if (state < 4) {
      state = copyMatch(take() * 4 + (instruction >> 2) + 1, 2, instruction & 3)
    } else {
      state = copyMatch(take() * 4 + (instruction >> 2) + 2049, 3, instruction & 3)
    }
  }
}
