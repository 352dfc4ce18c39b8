import { SkilfishError } from '../errors.ts'
import { parseGroup } from '../io/index.ts'
import {
  DEFAULT_GROUP,
  DEFAULT_MTU_BYTES,
  DEFAULT_PORT,
  MAX_MTU_BYTES,
  MAX_RECEIVER_COUNT,
  MAX_SLICE_BYTES,
  MIN_MTU_BYTES,
  MIN_SLICE_BYTES,
  planGeometry,
} from '../protocol/index.ts'
import { parseCap } from '../ratelimit/index.ts'
import type { SendOptions } from '../sender/index.ts'
import { PAGE_BYTES } from '../sparse/index.ts'
import { parseCommandLine, toggle, valued, type ProgramForm } from './command-line.ts'
import { choiceParser, countParser, parseFec, parseText, sizeParser, timeParser } from './option-values.ts'
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
  ttl: valued('--ttl <N>', 'routers that packets may cross, plus one [1]', parseTtl),
  mtu: valued(
    '--mtu <BYTES>',
    `smallest MTU on the way to the receivers [${DEFAULT_MTU_BYTES}]`,
    countParser(MIN_MTU_BYTES, MAX_MTU_BYTES),
  ),
  feedbackPort: valued(
    '--feedback-port <PORT>',
    'UDP port that receivers answer to, for firewalls [any]',
    countParser(1, 65_535),
  ),
  minReceivers: valued(
    '--min-receivers <N>',
    'start when so many receivers have come [1]',
    countParser(0, MAX_RECEIVER_COUNT),
  ),
  minWait: valued('--min-wait <TIME>', 'wait at least this long for more receivers [0]', timeParser(0)),
  maxWait: valued(
    '--max-wait <TIME>',
    'start this long after the first receiver, even with too few [no limit]',
    timeParser(0),
  ),
  startTimeout: valued('--start-timeout <TIME>', 'give up when it has not started by then [no limit]', parseTime),
  maxBitrate: valued(
    '--max-bitrate <RATE>',
    'cap over all that is sent: 320M (bits/s), 40MB/s [what receivers take]',
    parseCap,
  ),
  onSlow: valued(
    '--on-slow <POLICY>',
    'for receivers that cannot keep up: wait for them, defer what they miss, or drop them [defer]',
    choiceParser(['wait', 'defer', 'drop']),
  ),
  receiverTimeout: valued('--receiver-timeout <TIME>', 'drop a receiver silent for this long [60]', parseSilence),
  fec: valued('--fec <PERCENT>', 'parity sent before anybody asks for it: auto, off or a percentage [auto]', parseFec),
  compress: valued(
    '--compress <CODEC>',
    'lzo, zstd (Node.js 22.15 or newer, at both ends) or none [lzo]',
    choiceParser(['lzo', 'zstd', 'none']),
  ),
  sliceSize: valued(
    '--slice-size <SIZE>',
    'what is compressed, checked and repaired as one unit [256K]',
    sizeParser(MIN_SLICE_BYTES, MAX_SLICE_BYTES, PAGE_BYTES),
  ),
  name: valued('--name <TEXT>', "name of the image [source's]", parseLabel),
  imageId: valued(
    '--image-id <TEXT>',
    'identity of the image, for --image-id of receivers [from name, size, time, packets]',
    parseLabel,
  ),
  spool: valued(
    '--spool <PATH>',
    'keep what a pipe or Ceph yields in a file made here, so that late receivers can have it; it loses its name at once (ls shows none), its space at the end',
    parseText,
  ),
  keyFile: KEY_FILE,
  signKey: valued(
    '--sign-key <PATH>',
    'Ed25519 private key: receivers with its other half (--verify-key) take what this sender sends, and nothing else [none]',
    parseText,
  ),
  noKeyboard: toggle('--no-keyboard', 'do not start on a key'),
  ...OUTPUT_OPTIONS,
}

const FORM: ProgramForm<typeof OPTIONS> = {
  name: 'skilfish-send',
  description:
    'Sends a disk image to many machines at once, by multicast.\n\n' +
    'SOURCE is a file, a block device, rbd:[POOL/]IMAGE[@SNAPSHOT] for an image in Ceph, or - for standard input. TIME is in seconds, or with a unit: 500ms, 2m, 1h. [Defaults] stand in brackets.',
  operand: 'SOURCE',
  options: OPTIONS,
  groups: {
    Start: ['minReceivers', 'minWait', 'maxWait', 'startTimeout', 'noKeyboard'],
    'Rate and repair': ['maxBitrate', 'onSlow', 'receiverTimeout', 'fec'],
    Image: ['compress', 'sliceSize', 'name', 'imageId', 'spool'],
    Trust: ['keyFile', 'signKey'],
    Network: ['group', 'interface', 'ttl', 'mtu', 'feedbackPort', 'noOffload'],
    Output: ['json', 'quiet', 'verbose'],
  },
  notes: [
    'While it waits for receivers on a terminal, any key starts the transfer.',
    'The signals USR1 and USR2 double and halve the bit rate while it runs.',
  ],
  examples: [
    'skilfish-send --min-receivers 20 --max-wait 2m debian.img',
    'skilfish-send --interface eth1 --max-bitrate 600M /dev/vg0/golden',
    'skilfish-send --spool /var/tmp/spool rbd:templates/debian@golden',
    'zcat backup.gz | skilfish-send --spool /var/tmp/spool -',
  ],
  exits: ['success', 'internal', 'usage', 'nobody', 'receiversFailed', 'storage', 'network', 'interrupted'],
}

/** What `skilfish-send` is to do. */
export interface SendCommand {
  readonly kind: 'run'
  readonly options: SendOptions & { readonly source: string }
  readonly output: OutputChoice
  readonly isKeyboardWanted: boolean
}

/**
 * Reads the arguments of `skilfish-send`.
 * @throws SkilfishError OPTION_INVALID
 */
export function parseSendCommand(
  args: readonly string[],
): SendCommand | { readonly kind: 'text'; readonly text: string } {
  const line = parseCommandLine(FORM, args)
  if (line.kind === 'text') return line
  const { values, operand } = line
  checkGeometry(values)
  const options = definedOnly<SendOptions & { source: string }>({
    source: operand,
    group: values.group,
    interface: values.interface,
    offload: values.noOffload ? 'off' : undefined,
    ttl: values.ttl,
    mtuBytes: values.mtu,
    feedbackPort: values.feedbackPort,
    minReceivers: values.minReceivers,
    minWaitMs: values.minWait,
    maxWaitMs: values.maxWait,
    startTimeoutMs: values.startTimeout,
    maxBitrate: values.maxBitrate,
    onSlow: values.onSlow,
    receiverTimeoutMs: values.receiverTimeout,
    fec: values.fec,
    compress: values.compress,
    sliceBytes: values.sliceSize,
    name: values.name,
    imageId: values.imageId,
    spool: values.spool,
    key: values.keyFile,
    signKey: values.signKey,
  })
  return { kind: 'run', options, output: outputChoice(values), isKeyboardWanted: values.noKeyboard !== true }
}

/** Each value may be right and the set of them not. */
function checkGeometry(values: { readonly group?: string; readonly mtu?: number; readonly sliceSize?: number }): void {
  const { family } = parseGroup(values.group ?? DEFAULT_GROUP, DEFAULT_PORT)
  try {
    planGeometry({ family, mtuBytes: values.mtu, sliceBytes: values.sliceSize })
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new SkilfishError('OPTION_INVALID', `--slice-size and --mtu: ${error.message}`, { cause: error })
  }
}
