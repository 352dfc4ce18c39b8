// Writes the figures of the README from bench/results/peers.md, which `npm run bench:peers` wrote.
import { readFileSync, writeFileSync } from 'node:fs'

const at = (path) => new URL(`../${path}`, import.meta.url)

const COLUMNS = [
  'Program',
  'Scenario',
  'Whole run, s',
  'Ratio',
  'Sent, MiB',
  'Sender CPU, s/GiB',
  'Receiver CPU, s/GiB',
]
const PROGRAMS = ['skilfish', 'skilfish-no-offload', 'udpcast', 'udpcast-lzop', 'uftp', 'raw-limit']

const row = (cells) => `| ${cells.join(' | ')} |`
const cellsOf = (line) =>
  line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim())

const report = readFileSync(at('bench/results/peers.md'), 'utf8')

/** The table under a heading: an object for each row, by the names of its columns. */
function tableAfter(heading) {
  const lines = report.slice(report.indexOf(`\n## ${heading}\n`)).split('\n')
  const first = lines.findIndex((line) => line.startsWith('|'))
  const end = lines.findIndex((line, index) => index > first && !line.startsWith('|'))
  const [heads, , ...rows] = lines.slice(first, end).map(cellsOf)
  return rows.map((cells) => Object.fromEntries(heads.map((head, index) => [head, cells[index]])))
}

const factOf = (name) => new RegExp(`^- ${name}: (.*)$`, 'm').exec(report)[1]

const figures = tableAfter('Figures').filter(
  ({ Program, Scenario }) =>
    PROGRAMS.includes(Program) && Scenario.startsWith('4 receivers') && !Scenario.includes('at most'),
)
const bars = tableAfter('Bars').filter(({ Wanted }) => Wanted !== '')
const metCount = bars.filter(({ Met }) => Met === 'yes').length
const text = `From [the report](bench/results/peers.md) that \`npm run bench:peers\` wrote (${factOf('Date').slice(0, 10)}; commit ${factOf('Commit')};
${factOf('Machine')}): median [least–most], one sender and four receivers, all hosts on the same processors. The ratio is to skilfish in the
same scenario. \`raw-limit\` is the same sockets with no protocol, no files and no checks: what a program in Node.js could reach there.

${[row(COLUMNS), row(COLUMNS.map(() => '---')), ...figures.map((figure) => row(COLUMNS.map((column) => figure[column])))].join('\n')}

Of the ${bars.length} bars that the project sets itself there, ${metCount} were met; the report names them all.
`
const readme = readFileSync(at('README.md'), 'utf8')
writeFileSync(
  at('README.md'),
  readme.replace(/(<!-- figures -->\n).*?(<!-- end -->)/s, (_all, head, tail) => `${head}\n${text}\n${tail}`),
)
