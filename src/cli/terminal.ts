/** Whether a stream is a terminal on which lines can be drawn again. */
export const isLiveTerminal = (stream: NodeJS.WriteStream, environment: NodeJS.ProcessEnv): boolean =>
  stream.isTTY && environment['TERM'] !== 'dumb'

/** Whether the user's character set is Unicode. POSIX: the first of three variables that is set and not empty names it. */
export function hasUnicode(environment: NodeJS.ProcessEnv): boolean {
  const locale = [environment['LC_ALL'], environment['LC_CTYPE'], environment['LANG']].find((value) => value)
  return /utf-?8/i.test(locale ?? '')
}
