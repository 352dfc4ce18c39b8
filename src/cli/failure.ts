import { EXIT_STATUS, SkilfishError } from '../errors.ts'
import { printable } from './line-writer.ts'

/** A failure as a program reports it. */
export interface Failure {
  /** The code of the table in `docs/errors.md`; `INTERNAL` for what is not in it. */
  readonly code: string
  readonly message: string
  /** What the user can do about it. */
  readonly remedy: string
  readonly exitStatus: number
}

/** Faults of the world are told in a sentence and a remedy; only a fault in this program shows its stack. */
export function describeFailure(error: unknown): Failure {
  if (error instanceof SkilfishError) {
    const { code, message, remedy, exitStatus } = error
    return { code, message, remedy, exitStatus }
  }
  return {
    code: 'INTERNAL',
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    remedy: 'This is a fault in the program: please report it with the text above',
    exitStatus: EXIT_STATUS.internal,
  }
}

/** What went wrong, and below it what to do. */
export const failureText = (program: string, { message, remedy }: Failure): string =>
  printable(`${program}: ${message}\n  ${remedy}`)

/**
 * Runs what checks options. Its TypeErrors and RangeErrors are the user's mistakes here.
 * @throws SkilfishError OPTION_INVALID in place of those
 */
export function checkedByLibrary<T>(call: () => T): T {
  try {
    return call()
  } catch (error) {
    if (!(error instanceof TypeError) && !(error instanceof RangeError)) throw error
    throw new SkilfishError('OPTION_INVALID', error.message, { cause: error })
  }
}
