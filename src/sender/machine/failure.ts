import type { ErrorCode } from '../../errors.ts'
import type { ReceiverView } from './sender-options.ts'

/** Receivers that the text of a failure names; the rest are counted. */
const NAMED_COUNT = 8

/** Why a session that has come to its end failed; undefined when every receiver has the whole image. */
export function failureOf(
  receivers: readonly ReceiverView[],
): { readonly code: ErrorCode; readonly text: string } | undefined {
  if (receivers.length === 0) return { code: 'NO_RECEIVERS', text: 'no receiver took part' }
  const missed = receivers.filter((view) => view.state !== 'done')
  if (missed.length === 0) return undefined
  const names = missed.slice(0, NAMED_COUNT).map((view) => `${view.name} (${view.reason || view.state})`)
  const more = missed.length > NAMED_COUNT ? ` and ${missed.length - NAMED_COUNT} more` : ''
  const text = `${missed.length} of ${receivers.length} receivers did not get the whole image: ${names.join(', ')}${more}`
  return { code: 'RECEIVERS_FAILED', text }
}
