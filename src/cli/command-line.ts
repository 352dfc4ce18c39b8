import { createRequire } from 'node:module'
import { Command, CommanderError, Option } from 'commander'
import { EXIT_MEANING, EXIT_STATUS, SkilfishError, type ExitName } from '../errors.ts'
import { parseNamed, type ValueParser } from './option-values.ts'

/** One option: how it is written, what `--help` says of it, and how its value is read. Without `parse`: a switch. */
export interface OptionForm<T> {
  readonly flags: string
  readonly help: string
  /** `before`: what it returned for the same option, given before. */
  readonly parse?: (text: string, before: unknown) => T
}

/** An option with a value: `flags` as `--ttl <N>`. */
export const valued = <T>(flags: string, help: string, parse: ValueParser<T>): OptionForm<T> => ({ flags, help, parse })

/** An option with a value that may be given many times: all values, in order. */
export const repeatable = <T>(flags: string, help: string, parse: ValueParser<T>): OptionForm<readonly T[]> => ({
  flags,
  help,
  parse: (text, before) => [...((before ?? []) as readonly T[]), parse(text)],
})

/** An option without a value; true when it is given, also for `--no-…`. */
export const toggle = (flags: string, help: string): OptionForm<boolean> => ({ flags, help })

type OptionForms = Readonly<Record<string, OptionForm<unknown>>>

/** What a program takes. */
export interface ProgramForm<Forms extends OptionForms> {
  readonly name: string
  /** What the program does, and what its operand is. */
  readonly description: string
  /** The one operand, as `SOURCE`, or `[FILE]` where it may be left out; undefined: none. */
  readonly operand?: string
  readonly options: Forms
  /** Headings of `--help` and the options under each. Every option stands under one. */
  readonly groups: Readonly<Record<string, readonly (keyof Forms & string)[]>>
  /** What the user can do beside options; a line each. */
  readonly notes: readonly string[]
  readonly examples: readonly string[]
  /** Statuses that the program can end with. */
  readonly exits: readonly ExitName[]
}

/** What was given; an option that was not is left out. */
type OptionValues<Forms extends OptionForms> = {
  readonly [Key in keyof Forms]?: Forms[Key] extends OptionForm<infer T> ? T : never
}

export type CommandLine<Forms extends OptionForms> =
  /** `--help` or `--version`: print this and end. */
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'run'; readonly operand: string; readonly values: OptionValues<Forms> }

const COLUMNS = 80

/**
 * Reads the arguments of a program, without its own name. Long options may be cut short as long as they are unique
 * (`--min-rec 3`) and take their value with `=` or as the next argument.
 * @throws SkilfishError OPTION_INVALID, also for what is not UTF-8: Node.js hands it over changed, so that it would name another file
 */
export function parseCommandLine<Forms extends OptionForms>(
  form: ProgramForm<Forms>,
  args: readonly string[],
): CommandLine<Forms> {
  const garbled = args.find((argument) => argument.includes('\uFFFD'))
  if (garbled !== undefined)
    throw new SkilfishError(
      'OPTION_INVALID',
      `cannot use ${JSON.stringify(garbled)}: it is not UTF-8, or has a character that cannot be told from that (U+FFFD)`,
    )
  const options = Object.entries(form.groups).flatMap(([heading, keys]) =>
    keys.map((key) => [key, createOption(form.options[key]!).helpGroup(`${heading}:`)] as const),
  )
  let text = ''
  const command = createCommand(
    form,
    options.map(([, option]) => option),
    (part) => (text += part),
  )
  try {
    command.parse(expandPrefixes(command, args), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return { kind: 'text', text }
    throw new SkilfishError('OPTION_INVALID', tidy(error.message), { cause: error })
  }
  // An empty variable in a script.
  if (command.args[0] === '') throw new SkilfishError('OPTION_INVALID', `cannot use "" as ${form.operand}: it is empty`)
  const given = command.opts<Record<string, unknown>>()
  const values = options.map(([key, option]) => {
    const value = given[option.attributeName()]
    return [key, option.negate ? value === false || undefined : value] as const
  })
  const named = Object.fromEntries(values.filter(([, value]) => value !== undefined))
  return { kind: 'run', operand: command.args[0] ?? '', values: named as OptionValues<Forms> }
}

function createCommand<Forms extends OptionForms>(
  form: ProgramForm<Forms>,
  options: readonly Option[],
  write: (text: string) => void,
): Command {
  const { name, operand, description } = form
  const command = new Command(name).usage(operand === undefined ? '[options]' : `[options] ${operand}`)
  for (const option of options) command.addOption(option)
  if (operand !== undefined) command.argument(operand.startsWith('[') ? operand : `<${operand}>`)
  return command
    .description(description)
    .optionsGroup(options.at(-1)?.helpGroupHeading ?? 'Options:')
    .version(version(), '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', () => `\n${epilogue(form)}`)
    .configureHelp({
      helpWidth: COLUMNS,
      optionTerm: (option) => option.flags.replace(/[<>]/g, ''),
      visibleArguments: () => [],
    })
    .configureOutput({ writeOut: write, writeErr: () => undefined })
    .exitOverride()
}

function createOption({ flags, help, parse }: OptionForm<unknown>): Option {
  const option = new Option(flags, help)
  if (parse === undefined) return option
  return option.argParser((text: string, before: unknown) =>
    parseNamed(option.long ?? flags, (value) => parse(value, before), text),
  )
}

/** Writes out long options that were cut short. What follows an option as its value is left alone. */
function expandPrefixes(command: Command, args: readonly string[]): string[] {
  const known = [...command.options, new Option('--help')]
  const expanded: string[] = []
  let isValue = false
  for (const [index, argument] of args.entries()) {
    if (argument === '--') return [...expanded, ...args.slice(index)]
    if (isValue || !argument.startsWith('--')) {
      expanded.push(argument)
      isValue = false
      continue
    }
    const [name = '', ...value] = argument.split('=')
    const matches = known.filter(({ long }) => long?.startsWith(name))
    const match = matches.find(({ long }) => long === name) ?? (matches.length === 1 ? matches[0] : undefined)
    if (match === undefined && matches.length > 1) {
      const names = matches.map(({ long }) => long ?? '').join(', ')
      throw new SkilfishError('OPTION_INVALID', `cannot use ${name}: it is short for each of ${names}`)
    }
    expanded.push([match?.long ?? name, ...value].join('='))
    isValue = match?.required === true && value.length === 0
  }
  return expanded
}

function epilogue<Forms extends OptionForms>(form: ProgramForm<Forms>): string {
  const examples = form.examples.map((line) => `  ${line}`)
  const inOrder = [...form.exits].sort((a, b) => EXIT_STATUS[a] - EXIT_STATUS[b])
  const exits = inOrder.map((name) => `  ${String(EXIT_STATUS[name]).padStart(3)}  ${EXIT_MEANING[name]}`)
  const notes = form.notes.length > 0 ? [...form.notes, ''] : []
  return [...notes, 'Examples:', ...examples, '', 'Exit status:', ...exits].join('\n')
}

/** Puts a message of commander's, as `error: unknown option '--x'⏎(Did you mean --y?)`, into one line of our form. */
const tidy = (message: string): string =>
  message
    .replace(/^error: /, '')
    .replace(/\n\(Did you mean (.*)\?\)$/s, '; did you mean $1?')
    .replace('. Expected', '; expected')
    .replace(/\.$/, '')

function version(): string {
  // Two folders up from src/cli as well as from dist/cli.
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }
  return version
}
