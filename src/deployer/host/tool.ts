import { SkilfishError, type ErrorCode } from '../../errors.ts'
import { runProgram, systemReason } from '../../io/index.ts'

/** How long a program of QEMU may take that does not copy data, milliseconds. */
const TOOL_TIMEOUT_MS = 60_000

/**
 * Runs a program to its end.
 * @param onLine gets each line that it prints instead, where there may be more than 4 MiB of them
 * @returns what it printed
 * @throws SkilfishError with `code` when it cannot be started, fails or takes too long
 */
export async function runTool(
  code: ErrorCode,
  command: string,
  args: readonly string[],
  timeoutMs: number = TOOL_TIMEOUT_MS,
  onLine?: (line: string) => void,
): Promise<string> {
  const { end, stdout, said } = await runProgram(command, args, timeoutMs, onLine)
  if (end.kind === 'exited' && end.status === 0) return stdout
  const text = {
    exited: () => `says: ${said === '' ? `status ${end.kind === 'exited' ? end.status : ''}` : said}`,
    killed: () => 'was ended by a signal; it must run to its end',
    'not-started': () =>
      `cannot be started (${end.kind === 'not-started' ? systemReason(end.cause) : ''}); it must be installed`,
    stopped: () => (end.kind === 'stopped' ? end.reason : ''),
  }[end.kind]()
  throw new SkilfishError(code, `cannot run ${command} ${args[0] ?? ''}: it ${text}`)
}
