import cliProgress, { type Options, type Params } from 'cli-progress'
import { printable } from './line-writer.ts'
import { formatPercent } from './quantities.ts'

/** Redraws a second: the library tells progress four times a second. */
const FRAMES_PER_SEC = 4

/** Widest and narrowest bar, columns. */
const BAR_COLUMNS = { most: 40, least: 8 } as const

/** Between two facts. */
const GAP = '  '

/** Ends a line of the log above the bars: what was drawn there before may have been longer. */
const CLEAR_TO_END = '\x1b[K'

/** One line of a live display: a label, a bar where there is a percentage, and facts, as many as the terminal is wide enough for. */
export interface LiveLine {
  readonly label: string
  /** 0 to 100. */
  readonly percent: number | undefined
  readonly facts: readonly string[]
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
    const textColumns = Math.max(0, ...withBar.map(({ facts }) => facts.join(GAP).length))
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

function drawLine({ label, percent, facts, textColumns }: DrawnLine, columns: number, options: Options): string {
  const head = [label, percent === undefined ? '' : formatPercent(percent).padStart(5)].filter((part) => part !== '')
  if (percent === undefined) {
    // What only puts the line below the facts of another is worth no fact.
    const taken = label.length + GAP.length + facts.join(GAP).length
    if (label.trim() === '' && taken > columns) head.pop()
  } else {
    const barsize = Math.min(BAR_COLUMNS.most, columns - head.join(' ').length - textColumns - 1 - GAP.length)
    if (barsize >= BAR_COLUMNS.least) head.push(cliProgress.Format.BarFormat(percent / 100, { ...options, barsize }))
  }
  const start = head.length === 0 ? '' : `${head.join(' ')}${GAP}`
  return printable(`${start}${fitting(facts, columns - start.length)}`).slice(0, columns)
}

/** The facts that fit side by side, those first that come first; the very first in any case. */
function fitting([first = '', ...others]: readonly string[], columns: number): string {
  return others.reduce((text, fact) => {
    const longer = `${text}${GAP}${fact}`
    return longer.length <= columns ? longer : text
  }, first)
}
