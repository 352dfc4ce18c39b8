import { SkilfishError } from '../errors.ts'
import type { ReceiveOptions, VerifyOptions } from '../receiver/index.ts'
import { parseGroup } from '../io/index.ts'
import { DEFAULT_PORT } from '../protocol/index.ts'
import { parseCommandLine, toggle, valued, type ProgramForm } from './command-line.ts'
import { parseNamed, parseRatio, parseText } from './option-values.ts'
import {
  definedOnly,
  KEY_FILE,
  NETWORK_OPTIONS,
  OUTPUT_OPTIONS,
  outputChoice,
  parseLabel,
  parseSilence,
  parseTime,
  parseTtl,
  type OutputChoice,
} from './shared-options.ts'

const OPTIONS = {
  ...NETWORK_OPTIONS,
  ttl: valued('--ttl <N>', "routers that answers to the sender may cross, plus one [system's]", parseTtl),
  startTimeout: valued('--start-timeout <TIME>', 'give up when no sender is heard by then [no limit]', parseTime),
  receiveTimeout: valued(
    '--receive-timeout <TIME>',
    'give up when the sender has been silent for this long [60]',
    parseSilence,
  ),
  imageId: valued('--image-id <TEXT>', 'take this image only [first announced]', parseLabel),
  name: valued('--name <TEXT>', "name of this receiver [host's]", parseLabel),
  keyFile: KEY_FILE,
  verifyKey: valued(
    '--verify-key <PATH>',
    "Ed25519 public key of the sender's --sign-key: take nothing else [none]",
    parseText,
  ),
  sync: toggle('--sync', 'write each piece through to the disk at once [once, at the end]'),
  direct: toggle('--direct', 'write past the page cache'),
  resume: toggle('--resume', 'go on where an earlier run has stopped, if it has left a journal'),
  journal: valued(
    '--journal <PATH>',
    'where the journal of an unfinished target lies [TARGET.skilfish; of a device, in the current folder]',
    parseText,
  ),
  verify: toggle('--verify', 'receive nothing: check a TARGET that is complete'),
  fingerprint: valued(
    '--fingerprint <TEXT>',
    'with --verify: what was told when TARGET was complete [what is kept beside a file]',
    parseText,
  ),
  assumeZeroed: toggle(
    '--assume-zeroed',
    'TARGET reads as zeros already: do not zero what the image leaves empty. This is not checked: where it is not so, the copy is wrong, and ends with status 0 all the same',
  ),
  ...OUTPUT_OPTIONS,
}

const FORM: ProgramForm<typeof OPTIONS> = {
  name: 'skilfish-recv',
  description:
    'Receives a disk image that skilfish-send sends, whenever it is started.\n\n' +
    'TARGET is a file, a block device, rbd:[POOL/]IMAGE for an image in Ceph, or - for standard output. TIME is in seconds, or with a unit: 500ms, 2m, 1h. [Defaults] stand in brackets.',
  operand: 'TARGET',
  options: OPTIONS,
  groups: {
    Target: ['resume', 'journal', 'sync', 'direct', 'assumeZeroed'],
    Session: ['imageId', 'name', 'startTimeout', 'receiveTimeout'],
    Trust: ['keyFile', 'verifyKey'],
    Network: ['group', 'interface', 'ttl', 'noOffload'],
    Check: ['verify', 'fingerprint'],
    Output: ['json', 'quiet', 'verbose'],
  },
  notes: ['With TARGET -, --json prints to standard error.'],
  examples: [
    'skilfish-recv --interface eth1 /dev/sda',
    'skilfish-recv --start-timeout 10m --image-id debian-13 debian.img',
    'skilfish-recv --resume /dev/sda',
    'skilfish-recv --verify debian.img',
    'skilfish-recv - | tar x',
  ],
  exits: ['success', 'internal', 'usage', 'nobody', 'storage', 'network', 'peerLost', 'refused', 'interrupted'],
}

/** What `skilfish-recv` is to do: receive, or check what was received. */
export type ReceiveCommand = {
  readonly kind: 'run'
  readonly output: OutputChoice
} & (
  | { readonly options: ReceiveOptions & { readonly target: string } }
  | { readonly verify: Pick<VerifyOptions, 'target' | 'fingerprint'> }
)

/** What goes with `--verify`. */
const VERIFY_OPTIONS: readonly string[] = ['verify', 'fingerprint', 'json', 'quiet', 'verbose']

/**
 * Reads the arguments of `skilfish-recv`.
 * @param drop share of incoming packets to lose, to try loss: `SKILFISH_DROP` of the environment
 * @throws SkilfishError OPTION_INVALID
 */
export function parseReceiveCommand(
  args: readonly string[],
  drop?: string,
): ReceiveCommand | { readonly kind: 'text'; readonly text: string } {
  const line = parseCommandLine(FORM, args)
  if (line.kind === 'text') return line
  const { values, operand } = line
  const output = outputChoice(values)
  if (values.verify) {
    const others = Object.keys(values).filter((name) => !VERIFY_OPTIONS.includes(name))
    if (others.length > 0) throw invalid(`cannot use --verify together with ${others.map(longName).join(', ')}`)
    return { kind: 'run', verify: definedOnly({ target: operand, fingerprint: values.fingerprint }), output }
  }
  if (values.fingerprint !== undefined) throw invalid('cannot use --fingerprint without --verify')
  if (values.group !== undefined) parseGroup(values.group, DEFAULT_PORT)
  const options = definedOnly<ReceiveOptions & { target: string }>({
    target: operand,
    group: values.group,
    interface: values.interface,
    ttl: values.ttl,
    key: values.keyFile,
    verifyKey: values.verifyKey,
    imageId: values.imageId,
    name: values.name,
    startTimeoutMs: values.startTimeout,
    receiveTimeoutMs: values.receiveTimeout,
    sync: values.sync,
    direct: values.direct,
    assumeZeroed: values.assumeZeroed,
    resume: values.resume,
    journal: values.journal,
    offload: values.noOffload ? 'off' : undefined,
    dropRatio: drop === undefined || drop === '' ? undefined : parseNamed('SKILFISH_DROP', parseRatio, drop),
  })
  return { kind: 'run', options, output }
}

const longName = (name: string): string => OPTIONS[name as keyof typeof OPTIONS].flags.split(' ')[0]!

const invalid = (text: string): SkilfishError => new SkilfishError('OPTION_INVALID', text)
