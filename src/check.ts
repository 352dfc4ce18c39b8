import { isWireText, LIMITS } from './protocol/index.ts'

/** Longest wait, milliseconds: 23 days, what a timer of Node.js holds. */
export const MAX_WAIT_MS = 2_000_000_000

/** @throws TypeError, RangeError when an option that is given is not a number from `least` to `most` */
export function checkNumber(label: string, value: number | undefined, least: number, most: number): void {
  if (value === undefined) return
  if (typeof value !== 'number') throw new TypeError(`${label} must be a number, got ${typeof value}`)
  if (!Number.isFinite(value) || value < least || value > most) {
    throw new RangeError(`${label} must be from ${least} to ${most}, got ${value}`)
  }
}

/** @throws TypeError, RangeError when an option that is given is not a whole number from `least` to `most` */
export function checkCount(label: string, value: number | undefined, least: number, most: number): void {
  checkNumber(label, value, least, most)
  if (value === undefined || Number.isInteger(value)) return
  throw new RangeError(`${label} must be a whole number from ${least} to ${most}, got ${value}`)
}

/** @throws TypeError, RangeError when an option that is given is not a text that the protocol can carry */
export function checkText(label: string, value: string | undefined): void {
  if (value === undefined) return
  if (typeof value !== 'string') throw new TypeError(`${label} must be a string, got ${typeof value}`)
  if (value === '' || !isWireText(value)) {
    throw new RangeError(
      `${label} must be 1 to ${LIMITS.textBytes} bytes without control characters, got ${JSON.stringify(value)}`,
    )
  }
}

/** @throws TypeError, RangeError when it is neither a path nor an object that has one of the methods */
export function checkPlace(label: string, value: unknown, methods: readonly string[]): void {
  if (value === '') throw new RangeError(`${label} must be a path, got ""`)
  if (typeof value === 'string') return
  if (typeof value === 'object' && value !== null && methods.some((name) => name in value)) return
  throw new TypeError(`${label} must be a path or an object with ${methods.join(' or ')}, got ${typeof value}`)
}
