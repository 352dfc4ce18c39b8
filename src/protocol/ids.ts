import type { Random } from '../random.ts'

/** Identity of a session or receiver: 64 bits as two unsigned 32-bit halves (no BigInt on the data path). */
export interface Id64 {
  readonly high: number
  readonly low: number
}

/** Draws an id, never 0. For ids that strangers must not guess, pass a source of secure randomness. */
export function drawId(random: Random): Id64 {
  const word = (): number => Math.floor(random() * 4_294_967_296) >>> 0
  return { high: word(), low: word() || 1 }
}

/** Sixteen hexadecimal digits. */
export function formatId(id: Id64): string {
  return id.high.toString(16).padStart(8, '0') + id.low.toString(16).padStart(8, '0')
}

/** True for the id 0, which nobody has: on the wire it is an id left out. */
export const isZeroId = (id: Id64): boolean => id.high === 0 && id.low === 0

export const isSameId = (a: Id64, b: Id64): boolean => a.high === b.high && a.low === b.low

/**
 * The 32-bit tag of an image id that every packet carries: FNV-1a over its UTF-16 code units, low byte first. It tells images of
 * one network apart; the session id and the full image id in each Announce are what identity rests on.
 */
export function imageTag(imageId: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < imageId.length; index++) {
    const unit = imageId.charCodeAt(index)
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193)
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193)
  }
  return hash >>> 0
}
