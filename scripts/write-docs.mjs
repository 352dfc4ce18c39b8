// Writes what the documents take from the source: docs/errors.md from the table in src/errors.ts, and the help texts in
// docs/command-line.md; and schemas/cluster.schema.json. All are read from dist, so build first. test/unit/cli/documents.test.ts fails when they differ.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { CLUSTER_SCHEMA } from '../dist/deployer/index.js'
import { ERROR_TABLE, EXIT_MEANING, EXIT_STATUS } from '../dist/errors.js'

const at = (path) => new URL(`../${path}`, import.meta.url)

const row = (cells) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`

function table(heads, rows) {
  return [row(heads), row(heads.map(() => '---')), ...rows.map(row)].join('\n')
}

const exits = Object.entries(EXIT_STATUS).map(([name, status]) => [status, `\`${name}\``, EXIT_MEANING[name]])
const errors = Object.entries(ERROR_TABLE).map(([code, { meaning, remedy, exit }]) => [
  `\`${code}\``,
  meaning,
  remedy,
  EXIT_STATUS[exit],
])

writeFileSync(
  at('docs/errors.md'),
  `<!-- Written by scripts/write-docs.mjs from src/errors.ts: change that, then run it. -->

# Errors

Whatever can go wrong outside of the program has a code that stays the same. The programs print what happened, and below it
what to do, and end with a status that tells a script what kind of thing it was; with \`--json\`, an object of type \`error\`
holds the same. In the library each of them is a \`SkilfishError\` with \`code\`, \`message\`, \`remedy\` and \`exitStatus\`. A
mistake in a call of the library is a \`TypeError\` or \`RangeError\` instead.

## Exit statuses

${table(['Status', 'Name', 'Meaning'], exits)}

A program that a signal ends before it listens (in its first tenth of a second), or that another signal ends (\`QUIT\`, \`ALRM\`,
\`KILL\`), has the status that the shell makes of the signal. \`USR1\` and \`USR2\` end none: they are for the sender's rate, and
ignored by all others.

## Codes

${table(['Code', 'What happened', 'What to do', 'Exit status'], errors)}
`,
)

const commandLine = readFileSync(at('docs/command-line.md'), 'utf8')
writeFileSync(
  at('docs/command-line.md'),
  commandLine.replace(/(<!-- help: ([\w ]+) -->\n).*?(<!-- end -->)/gs, (_all, head, words, tail) => {
    const [program, ...command] = words.split(' ')
    const args = [at(`dist/cli/${program}.js`).pathname, ...command, '--help']
    const help = execFileSync(process.execPath, args, { encoding: 'utf8' })
    return `${head}\n\`\`\`\n${help.trimEnd()}\n\`\`\`\n\n${tail}`
  }),
)

writeFileSync(at('schemas/cluster.schema.json'), `${JSON.stringify(CLUSTER_SCHEMA, undefined, 2)}\n`)
