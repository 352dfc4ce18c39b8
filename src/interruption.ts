import { SkilfishError } from './errors.ts'

/** What a transfer ends with that its caller gives up. */
export const interrupted = (): SkilfishError => new SkilfishError('INTERRUPTED', 'the transfer was interrupted')

/** @throws SkilfishError INTERRUPTED when the caller has given up already */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw interrupted()
}
