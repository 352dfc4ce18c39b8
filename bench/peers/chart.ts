import { line, picture, round, text } from '../svg.ts'
import { describeScenario, isPeer, RAW_LIMIT } from './scenario.ts'
import type { CaseSummary } from './summary.ts'

// Lengths are pixels of the picture's own size.
const WIDTH = 920
const PLOT_LEFT = 190
const PLOT_RIGHT = 790
const TOP = 96
const ROW = 19
const HEAD = 30
const BOTTOM = 62
const LABEL_GAP = 10

const TITLE = 'Time of a whole run, by scenario and program'

/** Readable on light and on dark: the viewer's preference decides. Ours stands out, and not by its colour alone. */
const STYLE = `
  text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328;
    /* Keeps the grid off the letters. */ stroke: #ffffff; stroke-width: 4px; paint-order: stroke }
  .back { fill: #ffffff }
  .title { font-size: 16px; font-weight: 600 }
  .note, .tick { fill: #59636e }
  .head, .ours { font-weight: 600 }
  .grid { stroke: #d1d9e0 }
  .peer { stroke: #6e7781; fill: #6e7781 }
  .ours-mark { stroke: #0969da; fill: #0969da }
  .raw { stroke: #6e7781; fill: #ffffff }
  line, circle { stroke-width: 2 }
  line.grid { stroke-width: 1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; stroke: #0d1117 }
    .back, .raw { fill: #0d1117 }
    .note, .tick { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .peer { stroke: #9198a1; fill: #9198a1 }
    .raw { stroke: #9198a1 }
    .ours-mark { stroke: #4493f8; fill: #4493f8 }
  }`

/**
 * Draws the times of whole runs as an SVG: a row for each case, grouped by scenario, over one logarithmic axis, so that equal
 * ratios are equal distances everywhere.
 */
export function formatChart(summaries: readonly CaseSummary[]): string {
  const axis = makeAxis(summaries.flatMap(({ wholeRunMs: { min, max } }) => [min / 1000, max / 1000]))
  const body: string[] = []
  let y = TOP
  let scenario = ''
  for (const summary of summaries) {
    const here = describeScenario(summary.scenario)
    if (here !== scenario) {
      y += HEAD
      body.push(text(16, y - 8, here, 'head'))
      scenario = here
    }
    body.push(...drawCase(summary, y + ROW / 2, axis.x))
    y += ROW
  }
  return picture({ width: WIDTH, height: y + BOTTOM, title: TITLE, style: STYLE }, [
    text(16, 30, TITLE, 'title'),
    text(
      16,
      52,
      'Mark: median. Line: least to most. Ring: the same sockets with no protocol. MTU 1500 unless said. Further left is better.',
      'note',
    ),
    ...axis.ticks.flatMap((seconds) => drawTick(seconds, axis.x(seconds), y)),
    text(
      (PLOT_LEFT + PLOT_RIGHT) / 2,
      y + 46,
      'seconds, from the start of the first process to the exit of the last (logarithmic)',
      'note',
      'middle',
    ),
    ...body,
  ])
}

interface Axis {
  readonly ticks: readonly number[]
  /** Where a time in seconds is drawn. */
  readonly x: (seconds: number) => number
}

/** From the last of 1, 2, 5, 10, 20… that is not above the least value, to the first that is not below the most. */
function makeAxis(values: readonly number[]): Axis {
  const known = values.filter((value) => value > 0)
  const [least, most] = known.length > 0 ? [Math.min(...known), Math.max(...known)] : [1, 1]
  const steps: number[] = []
  for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(most)) + 1; power++) {
    for (const digit of [1, 2, 5]) steps.push(Number(`${digit}e${power}`))
  }
  const first = steps.findLastIndex((step) => step <= least)
  const last = steps.findIndex((step, index) => step >= most && index > first)
  const [from, to] = [Math.log(steps[first]!), Math.log(steps[last]!)]
  return {
    ticks: steps.slice(first, last + 1),
    x: (seconds) => PLOT_LEFT + ((PLOT_RIGHT - PLOT_LEFT) * (Math.log(seconds) - from)) / (to - from),
  }
}

function drawTick(seconds: number, x: number, bottom: number): string[] {
  return [
    line(x, TOP, x, bottom + 8, 'grid'),
    text(x, TOP - 10, String(seconds), 'tick', 'middle'),
    text(x, bottom + 24, String(seconds), 'tick', 'middle'),
  ]
}

function drawCase({ program, runCount, wholeRunMs }: CaseSummary, y: number, x: (seconds: number) => number): string[] {
  const isOther = isPeer(program) || program === RAW_LIMIT
  const label = text(PLOT_LEFT - LABEL_GAP, y + 4, program, isOther ? 'label' : 'ours', 'end')
  if (runCount === 0) return [label, text(PLOT_LEFT + LABEL_GAP, y + 4, 'no run succeeded', 'note')]
  const [median, min, max] = [wholeRunMs.median, wholeRunMs.min, wholeRunMs.max].map((ms) => ms / 1000)
  const mark = program === RAW_LIMIT ? 'raw' : isOther ? 'peer' : 'ours-mark'
  return [
    label,
    line(x(min!), y, x(max!), y, mark),
    isOther
      ? `<circle class="${mark}" cx="${round(x(median!))}" cy="${round(y)}" r="4"/>`
      : `<rect class="${mark}" x="${round(x(median!) - 4)}" y="${round(y - 4)}" width="8" height="8"/>`,
    text(x(max!) + LABEL_GAP, y + 4, `${formatSeconds(median!)} s`, isOther ? 'value' : 'ours'),
  ]
}

const formatSeconds = (seconds: number): string => (seconds < 10 ? seconds.toFixed(2) : seconds.toFixed(1))
