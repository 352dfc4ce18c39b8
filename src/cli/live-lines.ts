import cliProgress, { type Options, type Params } from 'cli-progress'
import { printable } from './line-writer.ts'
import { formatPercent } from './quantities.ts'

/** Redraws a second: the library tells progress four times a second. */
const FRAMES_PER_SEC = 4

/** Widest and narrowest bar, columns. */
const BAR_COLUMNS = { most: 40, least: 8 } as const

/** Ends a line of the log above the bars: what was drawn there before may have been longer. */
const CLEAR_TO_END = '\x1b[K'

/** One line of a live display: a label, a bar where there is a percentage, and text. */
export interface LiveLine {
  readonly label: string
  /** 0 to 100. */
  readonly percent: number | undefined
  readonly text: string
}

/** Lines at the foot of a terminal, drawn again and again, each in one row; a log runs above them. */
export class LiveLines {
  readonly #bars: cliProgress.MultiBar
  readonly #lines: cliProgress.SingleBar[] = []

  constructor(stream: NodeJS.WriteStream, isUnicode: boolean) {
    this.#bars = new cliProgress.MultiBar({
      ...{ stream, fps: FRAMES_PER_SEC, clearOnComplete: true, forceRedraw: true, linewrap: true, gracefulExit: false },
      ...{
        barsize: BAR_COLUMNS.most,
        barCompleteChar: isUnicode ? '█' : '#',
        barIncompleteChar: isUnicode ? '░' : '-',
      },
      format: (options: Options, { maxWidth }: Params, line: DrawnLine) => drawLine(line, maxWidth - 1, options),
    })
  }

  /** Shows these lines from now on: as many as the first time. */
  show(lines: readonly LiveLine[]): void {
    const withBar = lines.filter(({ percent }) => percent !== undefined)
    const textColumns = Math.max(0, ...withBar.map(({ text }) => text.length))
    for (const [index, line] of lines.entries()) {
      const shown = this.#lines[index]
      const drawn: DrawnLine = { ...line, textColumns }
      if (shown === undefined) this.#lines.push(this.#bars.create(100, 0, drawn))
      else shown.update(drawn)
    }
  }

  /** Puts text above the lines. */
  log(text: string): void {
    this.#bars.log(`${text.replaceAll('\n', `${CLEAR_TO_END}\n`)}${CLEAR_TO_END}\n`)
  }

  /** Takes the lines away; the log above them stays. */
  stop(): void {
    this.#bars.update()
    this.#bars.stop()
  }
}

/** Bars are as long as the longest text leaves them, so that they are all of one length. */
interface DrawnLine extends LiveLine {
  readonly textColumns: number
}

function drawLine({ label, percent, text, textColumns }: DrawnLine, columns: number, options: Options): string {
  const parts = [label, percent === undefined ? '' : formatPercent(percent).padStart(5)].filter((part) => part !== '')
  if (percent !== undefined) {
    const taken = parts.join(' ').length + textColumns + 3
    const barsize = Math.max(BAR_COLUMNS.least, Math.min(BAR_COLUMNS.most, columns - taken))
    parts.push(cliProgress.Format.BarFormat(percent / 100, { ...options, barsize }))
  }
  return printable([...parts, '', text].join(' ')).slice(0, columns)
}
