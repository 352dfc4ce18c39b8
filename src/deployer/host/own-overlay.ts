import { SkilfishError } from '../../errors.ts'
import type { OverlayPlace } from '../host-protocol.ts'
import type { VmJournal } from './host-folder.ts'

/**
 * Changes fit only what they were made over: the same generation of the same image, of the same template. An image of generation 0 is the
 * template, so that they fit another such image too: one that was made anew, after the first was lost.
 * @throws SkilfishError VM_STATE when the overlay that the journal tells of is over anything else
 */
export function requireOwn(
  { step, vm, image, generation, base }: OverlayPlace & { step: string },
  journal: VmJournal,
): void {
  const fail = (text: string): SkilfishError =>
    new SkilfishError('VM_STATE', `cannot ${step} ${vm}: its changes on this host were made over ${text}`)
  if (journal.template !== base.identity) {
    throw fail(`another template than ${base.key}; name the one that it was created with, or destroy it with --discard`)
  }
  const isAnew = generation === 0 && journal.generation === 0 && journal.committedAs === undefined
  if (journal.image !== image && !isAnew) {
    throw fail('an image that is not in the storage any more; take out what is needed, and destroy it with --discard')
  }
  if (journal.generation !== generation) {
    throw fail(`generation ${journal.generation} of its image, where the storage has ${generation}`)
  }
}
