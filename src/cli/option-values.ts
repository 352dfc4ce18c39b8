import { SkilfishError } from '../errors.ts'

/** Reads the text of one option. Throws SkilfishError OPTION_INVALID with what was expected. */
export type ValueParser<T> = (text: string) => T

/** Longest time that an option takes, milliseconds: 23 days, what a timer of Node.js holds. */
const MAX_TIME_MS = 2_000_000_000

/**
 * Reads the text of the option (or variable) `label`.
 * @throws SkilfishError OPTION_INVALID that names it
 */
export function parseNamed<T>(label: string, parse: ValueParser<T>, text: string): T {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof SkilfishError)) throw error
    throw new SkilfishError(error.code, `${label}: ${error.message}`, { cause: error })
  }
}

const MS_PER_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1000, '': 1000, m: 60_000, min: 60_000, h: 3_600_000 }

/**
 * A time: a decimal number and a unit, `ms`, `s` (the default), `m` or `min`, `h`.
 * @param leastMs smallest time accepted, milliseconds
 * @returns a parser that gives milliseconds, up to 23 days
 */
export function timeParser(leastMs: number): ValueParser<number> {
  return (text) => {
    const match = /^(\d{1,12}(?:\.\d{1,9})?) ?([a-z]*)$/.exec(text.trim())
    const scale = MS_PER_UNIT[match?.[2] ?? '?']
    if (match === null || scale === undefined) throw invalid(text, 'a time such as 10 (seconds), 500ms, 2m or 1h')
    const ms = Number(match[1]) * scale
    if (ms < leastMs) throw invalid(text, `at least ${leastMs >= 1000 ? `${leastMs / 1000} s` : `${leastMs} ms`}`)
    if (ms > MAX_TIME_MS) throw invalid(text, `at most ${Math.floor(MAX_TIME_MS / 3_600_000)}h`)
    return ms
  }
}

/** A whole number from `least` to `most`. */
export function countParser(least: number, most: number): ValueParser<number> {
  return (text) => {
    const count = /^\d{1,15}$/.test(text.trim()) ? Number(text) : NaN
    if (!(count >= least && count <= most)) throw invalid(text, `a whole number from ${least} to ${most}`)
    return count
  }
}

const BYTES_PER_UNIT: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 * 1024 }

/**
 * A size in bytes from `least` to `most`, both of them multiples of `step`: a whole number, with `K` or `M` (`KiB`, `MiB`) for
 * 1024 and its square.
 */
export function sizeParser(least: number, most: number, step: number): ValueParser<number> {
  return (text) => {
    const match = /^(\d{1,12}) ?(?:([km]?)i?b?)$/i.exec(text.trim())
    const bytes = Number(match?.[1]) * (BYTES_PER_UNIT[(match?.[2] ?? '').toLowerCase()] ?? NaN)
    if (!(bytes >= least && bytes <= most && bytes % step === 0)) {
      throw invalid(text, `a multiple of ${step} from ${least / 1024}K to ${most / 1024}K`)
    }
    return bytes
  }
}

/** One of a few words. */
export function choiceParser<const T extends string>(words: readonly T[]): ValueParser<T> {
  return (text) => {
    const word = words.find((candidate) => candidate === text)
    if (word === undefined) throw invalid(text, `one of ${words.join(', ')}`)
    return word
  }
}

/** `auto`, `off`, or a percentage from 0 to 100 with or without its sign. */
export function parseFec(text: string): 'auto' | 'off' | number {
  if (text === 'auto' || text === 'off') return text
  const match = /^(\d{1,3}(?:\.\d{1,9})?) ?%?$/.exec(text.trim())
  const percent = Number(match?.[1])
  if (!(percent <= 100)) throw invalid(text, 'auto, off or a percentage from 0 to 100')
  return percent
}

/** A text of 1 to `mostBytes` bytes of UTF-8. */
export function textParser(mostBytes: number): ValueParser<string> {
  return (text) => {
    if (text === '') throw invalid(text, 'a text that is not empty')
    if (Buffer.byteLength(text) > mostBytes) throw invalid(text, `at most ${mostBytes} bytes`)
    return text
  }
}

export const parseText: ValueParser<string> = textParser(Infinity)

/** A share of something, 0 to 0.9. */
export function parseRatio(text: string): number {
  const ratio = /^(0|0?\.\d{1,9})$/.test(text.trim()) ? Number(text) : NaN
  if (!(ratio <= 0.9)) throw invalid(text, 'a share from 0 to 0.9')
  return ratio
}

const invalid = (text: string, expectation: string): SkilfishError =>
  new SkilfishError('OPTION_INVALID', `cannot use ${JSON.stringify(text)}: expected ${expectation}`)
