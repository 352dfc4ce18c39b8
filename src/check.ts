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
