/** Where text stands, relative to its place. */
export type Anchor = 'start' | 'middle' | 'end'

/** What a picture is drawn on. Lengths are pixels of its own size. */
interface Canvas {
  readonly width: number
  readonly height: number
  readonly title: string
  /** CSS, in which `back` is the class of what is behind everything. */
  readonly style: string
}

export const picture = ({ width, height, title, style }: Canvas, parts: readonly string[]): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escape(title)}</title>`,
    `<style>${style}\n</style>`,
    `<rect class="back" width="${width}" height="${height}"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n')

/** Text at a place, in pixels of the picture, with a style class. */
export const text = (x: number, y: number, content: string, style: string, anchor: Anchor = 'start'): string =>
  `<text class="${style}" x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${escape(content)}</text>`

export const line = (x1: number, y1: number, x2: number, y2: number, style: string): string =>
  `<line class="${style}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`

/** To a tenth of a pixel: more says nothing. */
export const round = (value: number): string => String(Math.round(value * 10) / 10)

const escape = (content: string): string =>
  content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
