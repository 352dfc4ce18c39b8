import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Writes a report to `NAME.md`, `NAME.json` and `NAME.svg` in a folder: for people, what it was made of, and as a picture. */
export function writeReport(
  folder: string,
  name: string,
  { page, figures, chart }: { readonly page: string; readonly figures?: object; readonly chart?: string },
): void {
  mkdirSync(folder, { recursive: true })
  const write = (ending: string, text: string): void => writeFileSync(join(folder, `${name}.${ending}`), text)
  write('md', page)
  if (figures !== undefined) write('json', `${JSON.stringify(figures, undefined, 2)}\n`)
  if (chart !== undefined) write('svg', chart)
}
