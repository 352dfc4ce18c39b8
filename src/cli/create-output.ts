import { JsonOutput } from './json-output.ts'
import { LineWriter } from './line-writer.ts'
import type { Output } from './output.ts'
import { PlainOutput } from './plain-output.ts'
import type { OutputChoice } from './shared-options.ts'
import { hasUnicode, isLiveTerminal } from './terminal.ts'
import { TerminalOutput } from './terminal-output.ts'

/** Where output goes. */
export interface OutputStreams {
  /** For JSON. */
  readonly json: NodeJS.WriteStream
  /** For people. */
  readonly text: NodeJS.WriteStream
}

/** The output that fits the options, the streams and the terminal that `environment` describes. */
export function createOutput(
  program: string,
  { isJson, isQuiet }: OutputChoice,
  streams: OutputStreams,
  environment: NodeJS.ProcessEnv,
): Output {
  if (isJson) return new JsonOutput(new LineWriter(streams.json), isQuiet)
  if (!isQuiet && isLiveTerminal(streams.text, environment)) {
    return new TerminalOutput(program, streams.text, hasUnicode(environment))
  }
  return new PlainOutput(program, new LineWriter(streams.text), isQuiet)
}
