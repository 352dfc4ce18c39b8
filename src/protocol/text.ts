import { LIMITS } from './params.ts'

const encoder = new TextEncoder()
const UNFIT = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u
const EVERY_UNFIT = new RegExp(UNFIT, 'gu')

/** True when a control message may carry the text: at most {@link LIMITS}.textBytes of UTF-8, no control characters, line separators or half surrogates. */
export function isWireText(text: string): boolean {
  if (text.length > LIMITS.textBytes || UNFIT.test(text)) return false
  return text.length * 3 <= LIMITS.textBytes || encoder.encode(text).length <= LIMITS.textBytes
}

/**
 * The text made fit for a control message, for what a person is to read (names, reasons): control characters, line separators
 * and half surrogates become U+FFFD, the end is cut off at a whole character.
 */
export function clipText(text: string): string {
  const clean = text.slice(0, LIMITS.textBytes + 1).replace(EVERY_UNFIT, '\ufffd')
  return clean.slice(0, encoder.encodeInto(clean, new Uint8Array(LIMITS.textBytes)).read)
}
