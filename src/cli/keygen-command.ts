import { SkilfishError } from '../errors.ts'
import { parseCommandLine, toggle, type ProgramForm } from './command-line.ts'
import { OUTPUT_OPTIONS, outputChoice, type OutputChoice } from './shared-options.ts'

const OPTIONS = {
  sign: toggle('--sign', 'make a pair of Ed25519 keys: FILE signs, FILE.pub verifies'),
  passphrase: toggle('--passphrase', 'make a group key from a passphrase: the first line of standard input'),
  quiet: OUTPUT_OPTIONS.quiet,
}

const FORM: ProgramForm<typeof OPTIONS> = {
  name: 'skilfish-keygen',
  description:
    'Makes a key file, readable by its owner only (mode 0600). It never overwrites one.\n\n' +
    'Without options FILE is a group key: give it to --key-file of the sender and of all receivers.',
  operand: 'FILE',
  options: OPTIONS,
  groups: { Options: ['sign', 'passphrase', 'quiet'] },
  notes: [],
  examples: [
    'skilfish-keygen group.key',
    'skilfish-keygen --sign golden.key',
    'skilfish-keygen --passphrase group.key < passphrase.txt',
  ],
  exits: ['success', 'internal', 'usage', 'storage', 'interrupted'],
}

/** What `skilfish-keygen` is to do. */
export interface KeygenCommand {
  readonly kind: 'run'
  readonly path: string
  /** A random group key, one from a passphrase, or a pair of keys to sign and verify with. */
  readonly make: 'key' | 'passphrase' | 'pair'
  readonly output: OutputChoice
}

/**
 * Reads the arguments of `skilfish-keygen`.
 * @throws SkilfishError OPTION_INVALID
 */
export function parseKeygenCommand(
  args: readonly string[],
): KeygenCommand | { readonly kind: 'text'; readonly text: string } {
  const line = parseCommandLine(FORM, args)
  if (line.kind === 'text') return line
  const { values, operand: path } = line
  if (values.sign && values.passphrase) {
    throw new SkilfishError(
      'OPTION_INVALID',
      'cannot use --sign and --passphrase together: a pair of keys has no passphrase',
    )
  }
  const make = values.sign ? 'pair' : values.passphrase ? 'passphrase' : 'key'
  return { kind: 'run', path, make, output: outputChoice(values) }
}
