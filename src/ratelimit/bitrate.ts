import { SkilfishError } from '../errors.ts'

/** Highest rate that can be asked for, bits per second: the fastest Ethernet ports in use. Keeps token arithmetic exact. */
export const MAX_BITS_PER_SEC = 400_000_000_000

/** Lowest cap that a sender takes, bits per second: a packet of Ethernet's size takes more than a second. */
export const LEAST_BITS_PER_SEC = 10_000

const FORM = /^(\d{1,15}(?:\.\d{1,15})?|\.\d{1,15}) ?([kmgt]?)(i?)(bit\/s|b\/s|bps|B\/s)?$/
const POWERS: Readonly<Record<string, number>> = { '': 0, k: 1, m: 2, g: 3, t: 4 }
const WANTED = 'a rate such as 320M or 1.5Gbit/s (bits), or 40MB/s or 40MiB/s (bytes)'

/**
 * Reads a rate: a decimal number, a prefix (k, M, G, T in either case; with `i` 1024 takes the place of 1000) and a unit (`bit/s`,
 * `b/s` or `bps`, the default, or `B/s` for bytes).
 * @returns whole bits per second, 1 to {@link MAX_BITS_PER_SEC}
 * @throws SkilfishError OPTION_INVALID for anything else
 */
export function parseBitrate(text: string): number {
  // Only the unit tells `b` from `B`, so the prefix alone is put into lower case.
  const match = FORM.exec(text.trim().replace(/[KMGT](?=i?(?:b|B|$))/, (prefix) => prefix.toLowerCase()))
  if (match === null) throw invalid(text, `expected ${WANTED}`)
  const [, amount = '', prefix = '', binary = '', unit = ''] = match
  if (binary !== '' && prefix === '') throw invalid(text, `expected ${WANTED}`)
  const scale = (binary === '' ? 1000 : 1024) ** POWERS[prefix]!
  const bitsPerSec = Math.round(Number(amount) * scale * (unit === 'B/s' ? 8 : 1))
  if (bitsPerSec < 1) throw invalid(text, 'expected a rate above zero')
  if (bitsPerSec > MAX_BITS_PER_SEC) throw invalid(text, `expected at most ${formatBitrate(MAX_BITS_PER_SEC)}`)
  return bitsPerSec
}

/** Reads a rate to keep below, as {@link parseBitrate} does; at least {@link LEAST_BITS_PER_SEC}. */
export function parseCap(text: string): number {
  const bitsPerSec = parseBitrate(text)
  if (bitsPerSec < LEAST_BITS_PER_SEC) throw invalid(text, `expected at least ${formatBitrate(LEAST_BITS_PER_SEC)}`)
  return bitsPerSec
}

const invalid = (text: string, expectation: string): SkilfishError =>
  new SkilfishError('OPTION_INVALID', `cannot use the bit rate ${JSON.stringify(text)}: ${expectation}`)

const STEPS = [
  [1e9, 'Gbit/s'],
  [1e6, 'Mbit/s'],
  [1e3, 'kbit/s'],
] as const

/** Writes a rate for people, to three digits: `320 Mbit/s`, `1.25 Gbit/s`. {@link parseBitrate} reads it. */
export function formatBitrate(bitsPerSec: number): string {
  // The first step whose rounded number has no more than three digits before the point.
  const [scale, unit] = STEPS.find(([step]) => bitsPerSec >= step * 0.9995) ?? [1, 'bit/s']
  return `${Number((bitsPerSec / scale).toPrecision(3))} ${unit}`
}
