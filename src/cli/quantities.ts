const BYTE_UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** Bytes for people, to three digits: `0 bytes`, `812 MiB`, `1.25 GiB`. */
export function formatBytes(bytes: number): string {
  let amount = bytes
  let unit = 0
  // 1023.5 would be shown as 1024.
  while (amount >= (unit === 0 ? 1024 : 1023.5) && unit < BYTE_UNITS.length - 1) {
    amount /= 1024
    unit++
  }
  return `${unit === 0 || amount >= 100 ? Math.round(amount) : Number(amount.toPrecision(3))} ${BYTE_UNITS[unit]!}`
}

/** A time for people: `0.42 s`, `7.3 s`, `8 s`, `48 s`, `3 min 05 s`, `2 h 07 min`. */
export function formatTime(ms: number): string {
  const seconds = ms / 1000
  if (seconds < 1) return `${Number(seconds.toFixed(2))} s`
  if (seconds < 9.95) return `${Number(seconds.toFixed(1))} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${twoDigits(whole % 60)} s`
  const minutes = Math.round(whole / 60)
  return `${Math.floor(minutes / 60)} h ${twoDigits(minutes % 60)} min`
}

/** A time that runs while one looks: without what is less than a second. */
export const formatRunningTime = (ms: number): string => formatTime(Math.floor(ms / 1000) * 1000)

/** A share for people: `0 %`, `0.04 %`, `2.1 %`, `38 %`. Nothing of nothing is 0 %. */
export function formatShare(part: number, whole: number): string {
  const percent = whole === 0 ? 0 : (100 * part) / whole
  if (percent === 0) return '0 %'
  if (percent < 0.01) return '<0.01 %'
  return percent < 9.95 ? `${Number(percent.toPrecision(2))} %` : `${Math.round(percent)} %`
}

/** How far something is: whole percents, 100 only when all of it is done. */
export const formatPercent = (percent: number): string =>
  `${Math.min(percent >= 100 ? 100 : 99, Math.floor(percent))} %`

/** `1 receiver`, `3 receivers`. */
export const formatCount = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`

const twoDigits = (value: number): string => String(value).padStart(2, '0')

/** How far a position is in an image whose size may not be known. */
export const formatPosition = (bytes: number, wholeBytes: number | undefined): string =>
  wholeBytes === undefined ? formatBytes(bytes) : `${formatBytes(bytes)} of ${formatBytes(wholeBytes)}`

/** Cuts a name that is longer than `columns`; an ellipsis tells. */
export const shorten = (text: string, columns: number): string =>
  text.length <= columns ? text : `${text.slice(0, columns - 1)}…`

/** Labels and values as indented lines, the values in one column. */
export function formatTable(rows: readonly (readonly [label: string, value: string])[]): string[] {
  const width = Math.max(0, ...rows.map(([label]) => label.length))
  return rows.map(([label, value]) => `  ${label.padEnd(width)}  ${value}`)
}
