import { readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { DEPLOY_COMMANDS, parseDeployCommand } from '../../../src/cli/deploy-command.ts'
import { parseKeygenCommand } from '../../../src/cli/keygen-command.ts'
import { parseProbeCommand } from '../../../src/cli/probe-command.ts'
import { parseReceiveCommand } from '../../../src/cli/receive-command.ts'
import { parseSendCommand } from '../../../src/cli/send-command.ts'
import { ERROR_TABLE, EXIT_MEANING, EXIT_STATUS, type ExitName } from '../../../src/errors.ts'

const read = (name: string): string => readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8')

/** Every file of the program, by its path below src. */
const SRC = new URL('../../../src/', import.meta.url)
const SOURCES = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => [name, readFileSync(new URL(name, SRC), 'utf8')] as const)

/** The cells of all rows of the table below a heading, without its own head. */
function tableBelow(heading: string): string[][] {
  const section = read('errors.md').split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  const rows = section.split('\n').filter((line) => line.startsWith('|'))
  return rows.slice(2).map((line) => line.slice(2, -2).split(' | '))
}

it('docs/errors.md lists the codes of the table, in its order and words', () => {
  const wanted = Object.entries(ERROR_TABLE).map(([code, { meaning, remedy, exit }]) => [
    ...[`\`${code}\``, meaning, remedy, String(EXIT_STATUS[exit])],
  ])
  expect(tableBelow('Codes')).toEqual(wanted)
})

it('docs/errors.md lists the exit statuses', () => {
  const wanted = Object.entries(EXIT_STATUS).map(([name, status]) => [
    ...[String(status), `\`${name}\``, EXIT_MEANING[name as ExitName]],
  ])
  expect(tableBelow('Exit statuses')).toEqual(wanted)
})

it.each(Object.keys(ERROR_TABLE))('the code %s of docs/errors.md is one that something fails with', (code) => {
  expect(SOURCES.filter(([name, text]) => name !== 'errors.ts' && text.includes(`'${code}'`))).not.toEqual([])
})

it.each([
  'Ports and firewalls',
  'Switches',
  'Wi-Fi',
  'Buffers',
  'Choosing a rate',
  'When something fails in the midst',
])('docs/operations.md has a section "%s"', (heading) => {
  const [, section = ''] = read('operations.md').split(`\n## ${heading}\n`)
  expect(section.split('\n## ')[0]!.length).toBeGreaterThan(300)
})

it('exit statuses are told apart by the shell, and each is used', () => {
  const statuses = Object.values(EXIT_STATUS)
  expect(new Set(statuses).size).toBe(statuses.length)
  for (const status of statuses) expect(status).toBeLessThanOrEqual(130)
  const used = new Set<ExitName>(['success', 'internal', ...Object.values(ERROR_TABLE).map(({ exit }) => exit)])
  expect([...used].sort()).toEqual(Object.keys(EXIT_STATUS).sort())
})

type Help = { readonly kind: 'run' } | { readonly kind: 'text'; readonly text: string }

const HELPS: readonly (readonly [program: string, help: Help])[] = [
  ['send', parseSendCommand(['--help'])],
  ['recv', parseReceiveCommand(['--help'])],
  ['keygen', parseKeygenCommand(['--help'])],
  ['probe', parseProbeCommand(['--help'])],
  ['skilfish', parseDeployCommand(['--help'])],
  ...Object.keys(DEPLOY_COMMANDS).map((name) => [`skilfish ${name}`, parseDeployCommand([name, '--help'])] as const),
]

it.each(HELPS)('docs/command-line.md shows the help of %s as it is', (program, command) => {
  const [, shown] = read('command-line.md').split(`<!-- help: ${program} -->\n\n\`\`\`\n`)
  expect(shown?.split('\n```\n')[0]).toBe(command.kind === 'text' ? command.text.trimEnd() : 'no help')
})

it.each(HELPS)('the help of %s fits into 80 columns', (_program, command) => {
  const lines = command.kind === 'text' ? command.text.split('\n') : ['no help'.padEnd(81)]
  expect(lines.filter((line) => line.length > 80)).toEqual([])
})
