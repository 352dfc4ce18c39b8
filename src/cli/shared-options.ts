import { DEFAULT_GROUP, DEFAULT_PORT, LIMITS } from '../protocol/index.ts'
import { toggle, valued, type OptionForm } from './command-line.ts'
import { countParser, parseText, textParser, timeParser, type ValueParser } from './option-values.ts'

/** A peer must have the time to speak at least once. */
const LEAST_SILENCE_MS = 1000

export const parseTime: ValueParser<number> = timeParser(1)
export const parseSilence: ValueParser<number> = timeParser(LEAST_SILENCE_MS)

/** Options that mean the same at both ends. */
export const NETWORK_OPTIONS: {
  readonly group: OptionForm<string>
  readonly interface: OptionForm<string>
  readonly noOffload: OptionForm<boolean>
} = {
  group: valued(
    '--group <ADDRESS>',
    `multicast group, IPv4 or IPv6, with or without :PORT [${DEFAULT_GROUP}:${DEFAULT_PORT}]`,
    parseText,
  ),
  interface: valued('--interface <NAME>', "network interface, by name or address [system's]", parseText),
  noOffload: toggle('--no-offload', "do without the kernel's help in cutting and joining packets"),
}

/** The same file at both ends. */
export const KEY_FILE: OptionForm<string> = valued(
  '--key-file <PATH>',
  'group key, the same file at both ends (skilfish-keygen makes one): encrypts the image and keeps strangers out [none]',
  parseText,
)

export const parseTtl: ValueParser<number> = countParser(1, 255)

/** A name or identity that packets carry. */
export const parseLabel: ValueParser<string> = textParser(LIMITS.textBytes)

export const OUTPUT_OPTIONS: {
  readonly json: OptionForm<boolean>
  readonly quiet: OptionForm<boolean>
  readonly verbose: OptionForm<boolean>
} = {
  json: toggle('--json', 'print progress, log and result as JSON, one object a line'),
  quiet: toggle('-q, --quiet', 'print nothing but errors'),
  verbose: toggle('-v, --verbose', 'end with all counters'),
}

/** How a program talks to its user. */
export interface OutputChoice {
  readonly isJson: boolean
  readonly isQuiet: boolean
  readonly isVerbose: boolean
}

export const outputChoice = (values: {
  readonly json?: boolean
  readonly quiet?: boolean
  readonly verbose?: boolean
}): OutputChoice => ({
  isJson: values.json === true,
  isQuiet: values.quiet === true,
  isVerbose: values.verbose === true,
})

/** Leaves out what is undefined, so that optional properties are absent instead. */
export const definedOnly = <T extends object>(values: { [Key in keyof T]: T[Key] | undefined }): T =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T
