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

/** @throws TypeError when the option is given, and is neither of its words */
export function checkOffload(value: 'auto' | 'off' | undefined): void {
  if (value === undefined || ['auto', 'off'].includes(value)) return
  throw new TypeError(`offload must be auto or off, got ${value}`)
}

/**
 * @param shapes methods of each kind of object that may stand in place of a path
 * @throws TypeError, RangeError when it is neither a path nor an object with a label and all methods of one kind
 */
export function checkPlace(label: string, value: unknown, shapes: readonly (readonly string[])[]): void {
  if (value === '') throw new RangeError(`${label} must be a path, got ""`)
  if (typeof value === 'string') return
  const given = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>
  const hasAll = (methods: readonly string[]): boolean => methods.every((name) => typeof given[name] === 'function')
  if (!shapes.some(hasAll)) {
    const wanted = shapes.map((methods) => methods.join(', ')).join(', or with ')
    throw new TypeError(`${label} must be a path or an object with ${wanted}, got ${typeof value}`)
  }
  if (typeof given['label'] === 'string') return
  throw new TypeError(`${label}.label must be a string, got ${typeof given['label']}`)
}

/** What each option of a call must be. `place`: checked by {@link checkPlace}. `key`: a path or an object. */
export type OptionTypes<Options> = Readonly<
  Record<keyof Options, 'string' | 'number' | 'boolean' | 'function' | 'signal' | 'key' | 'place' | 'word'>
>

const FITS: Readonly<Record<string, (value: unknown) => boolean>> = {
  signal: (value) => value instanceof Object && 'aborted' in value,
  key: (value) => typeof value === 'string' || value instanceof Object,
  place: () => true,
  word: () => true,
}

const WANTED: Readonly<Record<string, string>> = { signal: 'an AbortSignal', key: 'a path or a key' }

/** @throws TypeError when they are no object, or one of them is not there or of another type. What is undefined counts as left out. */
export function checkOptionTypes<Options extends object>(
  call: string,
  options: Options | null,
  types: OptionTypes<Required<Options>>,
): void {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`${call} takes an object of options, got ${String(options)}`)
  }
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(types, name)) {
      throw new TypeError(`${call} has no option ${name}; it has ${Object.keys(types).join(', ')}`)
    }
    const type = types[name as keyof Options]
    const isFit = FITS[type] ?? ((given: unknown) => typeof given === type)
    if (value !== undefined && !isFit(value)) {
      throw new TypeError(`${name} must be ${WANTED[type] ?? `a ${type}`}, got ${typeof value}`)
    }
  }
}
