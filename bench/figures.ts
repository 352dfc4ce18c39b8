import type { Spread } from './peers/statistics.ts'

export const fixed = (value: number): string => value.toFixed(2)

export const megabits = (bitsPerSec: number): string => String(Math.round(bitsPerSec / 1e6))

/** Median [least–most]; the value alone where all are the same, a dash where there is none. */
export function shown({ median, min, max }: Spread, format: (value: number) => string): string {
  if (Number.isNaN(median)) return '–'
  const [middle, least, most] = [median, min, max].map(format)
  return least === most ? middle! : `${middle!} [${least!}–${most!}]`
}

/** A table of Markdown. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
