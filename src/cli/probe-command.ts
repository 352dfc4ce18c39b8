import { SkilfishError } from '../errors.ts'
import { parseGroup } from '../io/index.ts'
import type { ListenOptions, ProbeOptions } from '../probe/index.ts'
import { DEFAULT_PORT, MAX_MTU_BYTES, MIN_MTU_BYTES } from '../protocol/index.ts'
import { parseCap } from '../ratelimit/index.ts'
import { parseCommandLine, toggle, valued, type ProgramForm } from './command-line.ts'
import { countParser, parseText } from './option-values.ts'
import {
  definedOnly,
  NETWORK_OPTIONS,
  OUTPUT_OPTIONS,
  outputChoice,
  parseTime,
  parseTtl,
  type OutputChoice,
} from './shared-options.ts'

const OPTIONS = {
  listen: toggle('--listen', 'be the end that answers: start it first, on each receiver'),
  disk: valued('--disk <FOLDER>', 'with --listen: measure how fast this folder is written [not measured]', parseText),
  bitrate: valued('--bitrate <RATE>', 'rate at which loss is measured: 320M (bits/s), 40MB/s [100M]', parseCap),
  time: valued('--time <TIME>', 'how long loss is measured [3]', parseTime),
  startTimeout: valued(
    '--start-timeout <TIME>',
    'give up when the other end is not heard by then [10; with --listen: no limit]',
    parseTime,
  ),
  group: NETWORK_OPTIONS.group,
  interface: NETWORK_OPTIONS.interface,
  ttl: valued('--ttl <N>', 'routers that packets may cross, plus one [1]', parseTtl),
  mtu: valued(
    '--mtu <BYTES>',
    "longest packet to try [interface's, 1500 at most]",
    countParser(MIN_MTU_BYTES, MAX_MTU_BYTES),
  ),
  feedbackPort: valued(
    '--feedback-port <PORT>',
    'UDP port that answers come to, for firewalls [any]',
    countParser(1, 65_535),
  ),
  json: OUTPUT_OPTIONS.json,
  quiet: OUTPUT_OPTIONS.quiet,
}

/** Options for one of the two ends only. */
const LISTENERS_OWN = ['disk'] as const
const PROBERS_OWN = ['bitrate', 'time', 'ttl', 'mtu', 'feedbackPort'] as const

const FORM: ProgramForm<typeof OPTIONS> = {
  name: 'skilfish-probe',
  description:
    'Tries out the way from a sender to its receivers before a transfer does: whether the group reaches them and their answers come back, how long packets may be, what is lost, buffers, and disks. Says what to change.\n\n' +
    'Start it with --listen on each receiver, then without on the sender. TIME is in seconds, or with a unit: 500ms, 2m.',
  options: OPTIONS,
  groups: {
    Probe: ['listen', 'disk', 'bitrate', 'time', 'startTimeout'],
    Network: ['group', 'interface', 'ttl', 'mtu', 'feedbackPort'],
    Output: ['json', 'quiet'],
  },
  notes: [],
  examples: ['skilfish-probe --listen --disk /var/tmp', 'skilfish-probe --interface eth1 --bitrate 900M'],
  exits: ['success', 'internal', 'usage', 'nobody', 'storage', 'network', 'peerLost', 'interrupted'],
}

/** What `skilfish-probe` is to do. */
export type ProbeCommand = { readonly kind: 'run'; readonly output: OutputChoice } & (
  { readonly listen: ListenOptions } | { readonly probe: ProbeOptions }
)

/**
 * Reads the arguments of `skilfish-probe`.
 * @throws SkilfishError OPTION_INVALID
 */
export function parseProbeCommand(
  args: readonly string[],
): ProbeCommand | { readonly kind: 'text'; readonly text: string } {
  const line = parseCommandLine(FORM, args)
  if (line.kind === 'text') return line
  const { values } = line
  if (values.group !== undefined) parseGroup(values.group, DEFAULT_PORT)
  const isListener = values.listen === true
  for (const name of isListener ? PROBERS_OWN : LISTENERS_OWN) {
    if (values[name] === undefined) continue
    const option = OPTIONS[name].flags.split(' ')[0]!
    throw new SkilfishError(
      'OPTION_INVALID',
      `cannot use ${option} ${isListener ? 'together with' : 'without'} --listen`,
    )
  }
  const common = { group: values.group, interface: values.interface, startTimeoutMs: values.startTimeout }
  const output = outputChoice(values)
  if (isListener) return { kind: 'run', output, listen: definedOnly<ListenOptions>({ ...common, disk: values.disk }) }
  const { bitrate, time: streamMs, ttl, mtu: mtuBytes, feedbackPort } = values
  return {
    kind: 'run',
    output,
    probe: definedOnly<ProbeOptions>({ ...common, bitrate, streamMs, ttl, mtuBytes, feedbackPort }),
  }
}
