import { SkilfishError } from '../errors.ts'
import { parseCap } from '../ratelimit/index.ts'
import { parseCommandLine, repeatable, toggle, valued, type OptionForm, type ProgramForm } from './command-line.ts'
import { countParser, timeParser, type ValueParser } from './option-values.ts'
import { definedOnly, OUTPUT_OPTIONS, outputChoice, type OutputChoice } from './shared-options.ts'

/** What `skilfish` can be told to do with a cluster. */
export const DEPLOY_COMMANDS = {
  up: 'create, boot, fetch and switch',
  create: 'make an image in the storage for each machine that has none',
  boot: 'start machines over the storage, or over local copies',
  fetch: 'bring the template to every host by multicast',
  switch: 'switch running machines from the storage to the local copies',
  status: 'show every machine',
  shutdown: 'have guests power down',
  commit: 'write what machines have changed into their images',
  destroy: 'remove machines that are down: overlays, copies and images',
  abandon: 'give up changes on hosts that are lost, to boot elsewhere',
  evict: 'remove templates from hosts',
} as const

export type DeployName = keyof typeof DEPLOY_COMMANDS

/** Every name, separated by commas. */
const parseNames: ValueParser<readonly string[]> = (text) => {
  const names = text.split(',').map((name) => name.trim())
  if (names.every((name) => name !== '')) return names
  throw new SkilfishError('OPTION_INVALID', `cannot use ${JSON.stringify(text)}: expected names separated by commas`)
}

/** A cap, or none any more. */
const parseCapOrNone: ValueParser<number | 'none'> = (text) => (text === 'none' ? 'none' : parseCap(text))

const BYTES_PER_UNIT: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 }

const parseBytes: ValueParser<number> = (text) => {
  const match = /^(\d{1,12}) ?([kmgt]?)i?b?$/i.exec(text.trim())
  const bytes = Number(match?.[1]) * (BYTES_PER_UNIT[(match?.[2] ?? '').toLowerCase()] ?? NaN)
  if (Number.isSafeInteger(bytes)) return bytes
  throw new SkilfishError(
    'OPTION_INVALID',
    `cannot use ${JSON.stringify(text)}: expected a size such as 0, 512M or 100G`,
  )
}

const SET = repeatable(
  '--set <PATH=VALUE>',
  'put a value, in YAML, into the description, such as storage.template=file:/srv/debian.raw; may be repeated, also without a FILE',
  (text) => text,
)

const VMS = valued('--vms <NAMES>', 'only these machines, separated by commas [all]', parseNames)

/** What is given up is named. */
const LOST_VMS = valued('--vms <NAMES>', 'these machines, separated by commas', parseNames)

const OPTIONS = {
  set: SET,
  vms: VMS,
  setMaxBitrate: valued(
    '--set-max-bitrate <RATE>',
    'only change the cap of fetches under way and to come, such as 400M or 40MB/s; none lifts it',
    parseCapOrNone,
  ),
  timeout: valued('--timeout <TIME>', 'turn guests off that have not powered down after this long [60]', timeParser(0)),
  atOnce: valued('--at-once <N>', 'machines at the same time [4]', countParser(1, 64)),
  maxBitrate: valued('--max-bitrate <RATE>', 'cap for each machine, such as 400M or 40MB/s [none]', parseCap),
  discard: toggle('--discard', 'also machines with changes that are not committed: they are lost'),
  keep: valued('--keep <SIZE>', 'how much may be left on each host, such as 100G [0]', parseBytes),
  json: OUTPUT_OPTIONS.json,
  quiet: OUTPUT_OPTIONS.quiet,
} satisfies Readonly<Record<string, OptionForm<unknown>>>

type OptionName = keyof typeof OPTIONS

/** Options of a command beside those that all have. */
const OWN: Readonly<Record<DeployName, readonly OptionName[]>> = {
  up: ['vms'],
  create: ['vms'],
  boot: ['vms'],
  fetch: ['vms', 'setMaxBitrate'],
  switch: ['vms'],
  status: ['vms'],
  shutdown: ['vms', 'timeout'],
  commit: ['vms', 'atOnce', 'maxBitrate'],
  destroy: ['vms', 'discard'],
  abandon: ['vms'],
  evict: ['keep'],
}

/** What `skilfish` is to do. */
export interface DeployCommand extends DeployValues {
  readonly kind: 'run'
  readonly name: DeployName
  /** Path of the cluster's description; `-` for standard input; undefined where the description is all in `set`. */
  readonly path: string | undefined
  readonly output: OutputChoice
}

/** Options that were given. */
interface DeployValues {
  readonly set?: readonly string[]
  readonly vms?: readonly string[]
  readonly setMaxBitrate?: number | 'none'
  readonly timeout?: number
  readonly atOnce?: number
  readonly maxBitrate?: number
  readonly discard?: boolean
  readonly keep?: number
}

type Text = { readonly kind: 'text'; readonly text: string }

/**
 * Reads the arguments of `skilfish`.
 * @throws SkilfishError OPTION_INVALID
 */
export function parseDeployCommand(args: readonly string[]): DeployCommand | Text {
  const [first, ...rest] = args
  if (first === undefined || first.startsWith('-')) return parseWithoutCommand(args)
  const name = Object.keys(DEPLOY_COMMANDS).find((one): one is DeployName => one === first)
  if (name === undefined) {
    const known = Object.keys(DEPLOY_COMMANDS).join(', ')
    throw new SkilfishError('OPTION_INVALID', `cannot do ${JSON.stringify(first)}: expected one of ${known}`)
  }
  const line = parseCommandLine(formOf(name), rest)
  if (line.kind === 'text') return line
  const { set, vms, setMaxBitrate, timeout, atOnce, maxBitrate, discard, keep } = line.values
  const values = definedOnly<DeployValues>({ set, vms, setMaxBitrate, timeout, atOnce, maxBitrate, discard, keep })
  if (line.operand === '' && set === undefined) {
    throw new SkilfishError(
      'OPTION_INVALID',
      'cannot begin: name a FILE that describes the cluster, or --set what it is',
    )
  }
  if (name === 'abandon' && vms === undefined) {
    throw new SkilfishError('OPTION_INVALID', 'cannot begin: name the machines whose changes are given up, with --vms')
  }
  return {
    kind: 'run',
    name,
    path: line.operand === '' ? undefined : line.operand,
    ...values,
    output: outputChoice(line.values),
  }
}

function formOf(name: DeployName): ProgramForm<typeof OPTIONS> {
  const own = [...OWN[name], 'set', 'json', 'quiet'] as const
  const all = name === 'abandon' ? { ...OPTIONS, vms: LOST_VMS } : OPTIONS
  const options = Object.fromEntries(own.map((key) => [key, all[key]])) as typeof OPTIONS
  return {
    name: `skilfish ${name}`,
    description: `${capitalized(DEPLOY_COMMANDS[name])}.\n\nFILE describes the cluster, in YAML (docs/deployer.md); - is standard input.`,
    operand: '[FILE]',
    options,
    groups: { Options: own },
    notes: [],
    examples: [...(name === 'abandon' ? [] : [`skilfish ${name} cluster.yaml`]), ...(EXAMPLES[name] ?? [])],
    exits: name === 'up' || name === 'fetch' ? [...EXITS, 'nobody', 'network'] : EXITS,
  }
}

const EXITS = [
  'success',
  'internal',
  'usage',
  'receiversFailed',
  'storage',
  'peerLost',
  'refused',
  'interrupted',
] as const

const EXAMPLES: Partial<Record<DeployName, readonly string[]>> = {
  up: ['skilfish up --set vmDefaults.cpus=4 --set vms.0.host=node7 cluster.yaml'],
  fetch: ['skilfish fetch --set-max-bitrate 10MB/s cluster.yaml'],
  commit: ['skilfish commit --vms db1,db2 cluster.yaml'],
  abandon: ['skilfish abandon --vms db1 cluster.yaml'],
  evict: ['skilfish evict --keep 200G cluster.yaml'],
}

const FORM: ProgramForm<Readonly<Record<string, OptionForm<unknown>>>> = {
  name: 'skilfish COMMAND',
  description:
    'Boots virtual machines from shared storage, brings their template to every host by multicast, switches them to the local copy ' +
    'while they run, and commits their changes back.',
  operand: 'FILE',
  options: {},
  groups: {},
  notes: [
    'Commands:',
    ...Object.entries(DEPLOY_COMMANDS).map(([name, text]) => `  ${name.padEnd(9)} ${text}`),
    '',
    'Each command has a --help of its own, and goes on where it was interrupted.',
  ],
  examples: ['skilfish up cluster.yaml', 'skilfish status --json cluster.yaml', 'skilfish commit cluster.yaml'],
  exits: [...EXITS, 'nobody', 'network'],
}

function parseWithoutCommand(args: readonly string[]): Text {
  const line = parseCommandLine(FORM, args.length === 0 ? ['--help'] : args)
  if (line.kind === 'text') return line
  throw new SkilfishError('OPTION_INVALID', 'cannot begin: name a command first; see skilfish --help')
}

const capitalized = (text: string): string => `${text[0]?.toUpperCase() ?? ''}${text.slice(1)}`
