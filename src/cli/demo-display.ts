import { LiveLines, type LiveLine } from './live-lines.ts'
import { formatPercent } from './quantities.ts'
import { hasUnicode, isLiveTerminal } from './terminal.ts'

/** Time between two looks at the peers on a terminal, milliseconds. */
const LIVE_INTERVAL_MS = 250

/** Time between two lines where there is no terminal, milliseconds. */
const PLAIN_INTERVAL_MS = 1000

/** Shows `lines` again and again, live on a terminal, else as a line of text. Returns what ends that. */
export function watch(stream: NodeJS.WriteStream, lines: () => readonly LiveLine[]): () => void {
  if (!isLiveTerminal(stream, process.env)) {
    const timer = setInterval(() => stream.write(`${plainLine(lines())}\n`), PLAIN_INTERVAL_MS)
    return () => clearInterval(timer)
  }
  const display = new LiveLines(stream, hasUnicode(process.env))
  const timer = setInterval(() => display.show(lines()), LIVE_INTERVAL_MS)
  display.show(lines())
  return () => {
    clearInterval(timer)
    display.stop()
  }
}

const plainLine = (lines: readonly LiveLine[]): string =>
  lines.map(({ label, percent }) => `${label.trim()} ${formatPercent(percent ?? 0)}`).join(', ')
