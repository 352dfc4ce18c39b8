import { InvalidArgumentError } from 'commander'
import type { Spread } from './peers/statistics.ts'

export const fixed = (value: number): string => value.toFixed(2)

export const megabits = (bitsPerSec: number): string => String(Math.round(bitsPerSec / 1e6))

/** Median [least–most]. */
export const shown = ({ median, min, max }: Spread, format: (value: number) => string): string =>
  `${format(median)} [${format(min)}–${format(max)}]`

/** A table of Markdown, its head first. */
export function table(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows
  return [head, head.map(() => '---'), ...body].map((row) => `| ${row.join(' | ')} |\n`).join('')
}

/** Parses an option's value that is a whole number within bounds. */
export const whole =
  (least: number, most: number) =>
  (text: string): number => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
    return value
  }
