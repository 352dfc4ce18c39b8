import { line, picture, round, text } from '../svg.ts'
import type { CaseSummary } from './summary.ts'

// Lengths are pixels of the picture's own size.
const LEFT = 70
const TOP = 104
const PANEL = { width: 200, height: 150, gapX: 34, gapY: 62 } as const
const MARGIN = { right: 20, bottom: 60 } as const

/** Readable on light and on dark: the viewer's preference decides. Ours stands out, and not by its colour alone. */
const STYLE = `
  text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
  .back { fill: #ffffff }
  .title { font-size: 16px; font-weight: 600 }
  .note, .tick { fill: #59636e }
  .head { font-weight: 600 }
  .grid { stroke: #d1d9e0 }
  .curve { fill: none; stroke-width: 2 }
  .ours { stroke: #0969da; stroke-width: 3 }
  .peak { stroke: #0969da; stroke-dasharray: 2 4 }
  .ideal { stroke: #1a7f37; stroke-dasharray: 6 3 }
  .resend { stroke: #cf222e }
  .dot { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .back { fill: #0d1117 }
    .note, .tick { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .ours, .peak { stroke: #4493f8 }
    .ideal { stroke: #3fb950 }
    .resend { stroke: #f85149 }
    .dot { fill: #4493f8 }
  }`

const TITLE = 'What a sender hears and sends, by the number of its receivers'

interface Curve {
  readonly style: 'ours' | 'peak' | 'ideal' | 'resend'
  readonly figure: (summary: CaseSummary) => number
}

/** One row of panels: a panel for each kind of loss. */
interface Row {
  readonly title: string
  readonly curves: readonly Curve[]
}

const ROWS: readonly Row[] = [
  {
    title: 'messages per second',
    curves: [
      { style: 'resend', figure: ({ resend }) => resend.messagesPerSec },
      { style: 'peak', figure: ({ busiestSecondCount }) => busiestSecondCount },
      { style: 'ours', figure: ({ messagesPerSec }) => messagesPerSec },
    ],
  },
  {
    title: 'extra symbols, %',
    curves: [
      { style: 'resend', figure: ({ resend }) => 100 * resend.extraRatio },
      { style: 'ideal', figure: (summary) => 100 * summary.idealExtraRatio },
      { style: 'ours', figure: ({ extraRatio }) => 100 * extraRatio },
    ],
  },
  {
    title: 'seconds from the first data packet',
    curves: [
      { style: 'resend', figure: ({ resend }) => resend.sendingSec },
      { style: 'ours', figure: ({ lastCompleteSec, firstDataSec }) => lastCompleteSec - firstDataSec },
    ],
  },
]

const LEGEND: readonly { readonly style: Curve['style']; readonly label: string }[] = [
  { style: 'ours', label: 'skilfish' },
  { style: 'peak', label: 'skilfish, busiest second' },
  { style: 'ideal', label: 'least possible' },
  { style: 'resend', label: 'resending what was lost, as UDPcast does' },
]

/** Draws the study as an SVG: a column for each kind of loss, a row for each figure, all over the number of receivers. */
export function formatChart(summaries: readonly CaseSummary[]): string {
  const losses = [...new Set(summaries.map(({ loss }) => loss))]
  const counts = summaries.map(({ receiverCount }) => receiverCount)
  const width = LEFT + Math.max(3, losses.length) * (PANEL.width + PANEL.gapX) + MARGIN.right
  const height = TOP + ROWS.length * (PANEL.height + PANEL.gapY) + MARGIN.bottom - PANEL.gapY
  const body = ROWS.flatMap((row, rowIndex) => {
    const y = TOP + rowIndex * (PANEL.height + PANEL.gapY)
    const values = summaries.flatMap((summary) => row.curves.map(({ figure }) => figure(summary)))
    const axes = { x: logAxis(counts, 0, PANEL.width), y: logAxis(values, PANEL.height, 0) }
    return [
      text(LEFT - 54, y - 10, row.title, 'head'),
      ...losses.flatMap((loss, column) => {
        const x = LEFT + column * (PANEL.width + PANEL.gapX)
        const ofLoss = summaries.filter((summary) => summary.loss === loss)
        const heading =
          rowIndex === 0 ? [text(x + PANEL.width / 2, y - 30, ofLoss[0]!.lossLabel, 'head', 'middle')] : []
        const panel = drawPanel(row, ofLoss, axes, column === 0)
        return [...heading, `<g transform="translate(${x} ${y})">`, ...panel, '</g>']
      }),
    ]
  })
  return picture({ width, height, title: TITLE, style: STYLE }, [
    text(16, 28, TITLE, 'title'),
    ...drawLegend(50),
    ...body,
    text(LEFT + (width - LEFT) / 2, height - 14, 'receivers; all axes are logarithmic', 'note', 'middle'),
  ])
}

interface Axis {
  readonly ticks: readonly number[]
  readonly at: (value: number) => number
}

/** Whole powers of ten around the values; what is not above 0 lies at the lower end. */
function logAxis(values: readonly number[], from: number, to: number): Axis {
  const known = values.filter((value) => value > 0)
  const least = Math.floor(Math.log10(Math.min(...known, 1e9)) + 1e-9)
  const most = Math.max(least + 1, Math.ceil(Math.log10(Math.max(...known, 1e-9)) - 1e-9))
  const share = (value: number): number => (Math.log10(Math.max(value, 10 ** least)) - least) / (most - least)
  return {
    ticks: Array.from({ length: most - least + 1 }, (_, index) => 10 ** (least + index)),
    at: (value) => from + (to - from) * share(value),
  }
}

function drawPanel(
  { curves }: Row,
  summaries: readonly CaseSummary[],
  axes: { readonly x: Axis; readonly y: Axis },
  hasLabels: boolean,
): string[] {
  const points = (figure: Curve['figure']): [number, number][] =>
    summaries.map((summary) => [axes.x.at(summary.receiverCount), axes.y.at(figure(summary))])
  return [
    ...axes.y.ticks.flatMap((tick) => {
      const y = axes.y.at(tick)
      const grid = line(0, y, PANEL.width, y, 'grid')
      return hasLabels ? [grid, text(-8, y + 4, shortNumber(tick), 'tick', 'end')] : [grid]
    }),
    ...axes.x.ticks.map((tick) => text(axes.x.at(tick), PANEL.height + 18, shortNumber(tick), 'tick', 'middle')),
    ...curves.map(({ style, figure }) => {
      const path = points(figure).map(([x, y]) => `${round(x)},${round(y)}`)
      return `<polyline class="curve ${style}" points="${path.join(' ')}"/>`
    }),
    ...curves
      .filter(({ style }) => style === 'ours')
      .flatMap(({ figure }) => points(figure))
      .map(([x, y]) => `<circle class="dot" cx="${round(x)}" cy="${round(y)}" r="3"/>`),
  ]
}

function drawLegend(y: number): string[] {
  let x = 16
  return LEGEND.flatMap(({ style, label }) => {
    const drawn = [line(x, y - 4, x + 26, y - 4, `curve ${style}`), text(x + 32, y, label, 'note')]
    x += 60 + label.length * 6.4
    return drawn
  })
}

const shortNumber = (value: number): string =>
  value >= 1e6 ? `${value / 1e6}M` : value >= 1000 ? `${value / 1000}k` : String(Number(value.toPrecision(1)))
