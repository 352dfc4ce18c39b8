// The code of src/fec, written from its formula alone: shift-and-add multiplication, inverses by search, elimination.
// Slow; shares nothing with the code under test.

export function multiplyReference(a: number, b: number): number {
  let product = 0
  for (let bit = 0; bit < 8; bit++) if ((b >> bit) & 1) product ^= a << bit
  for (let bit = 14; bit >= 8; bit--) if ((product >> bit) & 1) product ^= 0x11d << (bit - 8)
  return product
}

export function invertReference(a: number): number {
  for (let b = 1; b < 256; b++) if (multiplyReference(a, b) === 1) return b
  throw new RangeError('0 has no inverse')
}

/** The parity symbol of index `symbolIndex` of a frame of whole symbols. */
export function parityReference(frame: Uint8Array, symbolBytes: number, symbolIndex: number): Uint8Array {
  const sourceCount = frame.length / symbolBytes
  const parity = new Uint8Array(symbolBytes)
  for (let c = 0; c < sourceCount; c++) {
    addMultiple(parity, coefficientReference(sourceCount, symbolIndex, c), symbolAt(frame, symbolBytes, c))
  }
  return parity
}

/** Rebuilds the missing symbols of `frame` in place, from as many parity symbols, by Gauss-Jordan elimination. */
export function decodeReference(
  frame: Uint8Array,
  symbolBytes: number,
  missing: readonly number[],
  parity: readonly { readonly symbolIndex: number; readonly bytes: Uint8Array }[],
): void {
  const sourceCount = frame.length / symbolBytes
  const received = Array.from({ length: sourceCount }, (_, c) => c).filter((c) => !missing.includes(c))
  // One equation a parity symbol: the coefficients of the missing symbols, then what their sum is.
  const equations = parity.slice(0, missing.length).map(({ symbolIndex, bytes }) => {
    const sum = bytes.slice()
    for (const c of received) {
      addMultiple(sum, coefficientReference(sourceCount, symbolIndex, c), symbolAt(frame, symbolBytes, c))
    }
    return Uint8Array.from([...missing.map((c) => coefficientReference(sourceCount, symbolIndex, c)), ...sum])
  })
  for (let column = 0; column < missing.length; column++) {
    const pivotRow = equations.findIndex((equation, row) => row >= column && equation[column] !== 0)
    if (pivotRow < 0) throw new Error('The matrix has no inverse')
    const [pivot] = equations.splice(pivotRow, 1) as [Uint8Array]
    const scale = invertReference(pivot[column]!)
    const scaled = pivot.map((value) => multiplyReference(scale, value))
    for (const equation of equations) addMultiple(equation, equation[column]!, scaled)
    equations.splice(column, 0, scaled)
  }
  for (const [n, c] of missing.entries()) frame.set(equations[n]!.subarray(missing.length), c * symbolBytes)
}

function coefficientReference(sourceCount: number, symbolIndex: number, sourceIndex: number): number {
  return invertReference((255 - (symbolIndex - sourceCount)) ^ sourceIndex)
}

function addMultiple(sum: Uint8Array, factor: number, terms: Uint8Array): void {
  for (const [n, term] of terms.entries()) sum[n]! ^= multiplyReference(factor, term)
}

function symbolAt(frame: Uint8Array, symbolBytes: number, index: number): Uint8Array {
  return frame.subarray(index * symbolBytes, (index + 1) * symbolBytes)
}
