/** Where text stands, relative to its place. */
export type Anchor = 'start' | 'middle' | 'end'

/** Text at a place, in pixels of the picture, with a style class. */
export const text = (x: number, y: number, content: string, style: string, anchor: Anchor = 'start'): string =>
  `<text class="${style}" x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${escape(content)}</text>`

export const line = (x1: number, y1: number, x2: number, y2: number, style: string): string =>
  `<line class="${style}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`

/** To a tenth of a pixel: more says nothing. */
export const round = (value: number): string => String(Math.round(value * 10) / 10)

const escape = (content: string): string =>
  content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
