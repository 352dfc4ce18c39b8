import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { DEPLOY_COMMANDS, parseDeployCommand } from '../../../src/cli/deploy-command.ts'
import { parseKeygenCommand } from '../../../src/cli/keygen-command.ts'
import { parseProbeCommand } from '../../../src/cli/probe-command.ts'
import { parseReceiveCommand } from '../../../src/cli/receive-command.ts'
import { parseSendCommand } from '../../../src/cli/send-command.ts'
import { EXIT_MEANING, EXIT_STATUS, type ExitName } from '../../../src/errors.ts'

const ROOT = join(import.meta.dirname, '../../..')

const docs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.md'),
)
const pages = ['README.md', ...docs.map((name) => join('docs', name))]

const read = (page: string): string => readFileSync(join(ROOT, page), 'utf8')

/** As GitHub makes the anchors of headings. */
const anchors = (page: string): string[] =>
  [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )

/** Links of a page that do not lead anywhere. */
function brokenLinks(page: string, text = read(page)): string[] {
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!)
  return links.filter((link) => {
    if (/^[a-z]+:/.test(link)) return false
    const [path = '', anchor] = link.split('#')
    const target = path === '' ? page : join(dirname(page), path)
    if (!existsSync(join(ROOT, target))) return true
    return anchor !== undefined && !anchors(target).includes(anchor)
  })
}

const optionsIn = (text: string): string[] => [...new Set(text.match(/(?<![\w-])--[a-z][a-z-]+/g))].sort()

/** All that `--help` of the commands names. */
const options = optionsIn(
  [
    ...[
      parseSendCommand(['--help']),
      parseReceiveCommand(['--help']),
      parseKeygenCommand(['--help']),
      parseProbeCommand(['--help']),
    ],
    ...Object.keys(DEPLOY_COMMANDS).map((name) => parseDeployCommand([name, '--help'])),
  ]
    .map((command) => (command.kind === 'text' ? command.text : ''))
    .join('\n'),
)

/** Long options may be cut short as long as they are unique. */
const isKnown = (option: string): boolean =>
  options.includes(option) || options.filter((known) => known.startsWith(option)).length === 1

describe.each(pages)('%s', (page) => {
  it('has no broken links', () => {
    expect(brokenLinks(page)).toEqual([])
  })

  it('names only options that there are', () => {
    expect(optionsIn(read(page)).filter((option) => !isKnown(option))).toEqual([])
  })
})

it('docs/command-line.md names every option', () => {
  expect(options.length).toBeGreaterThan(20)
  expect(optionsIn(read('docs/command-line.md'))).toEqual(expect.arrayContaining(options))
})

it('README.md lists the exit statuses', () => {
  const rows = [...read('README.md').matchAll(/^\| (\d+) \| (.*) \|$/gm)].map(([, status, meaning]) => [
    Number(status),
    meaning,
  ])
  expect(rows).toEqual(Object.entries(EXIT_STATUS).map(([name, status]) => [status, EXIT_MEANING[name as ExitName]]))
})

it('a broken link is found', () => {
  expect(
    brokenLinks('README.md', '[a](docs/protocol.md#geometry) [b](docs/none.md) [c](docs/protocol.md#none)'),
  ).toEqual(['docs/none.md', 'docs/protocol.md#none'])
})
