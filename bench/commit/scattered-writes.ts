import { seededRandom } from '../../src/random.ts'
import { runCommand } from '../../test/lab/command.ts'

/** What a guest writes at once: a piece of some clusters. */
const WRITE_BYTES = 256 * 1024
const MIB = 1024 * 1024

export interface ScatteredWrites {
  readonly diskMib: number
  /** How much is written, in pieces of 256 KiB anywhere on the disk. */
  readonly overlayMib: number
  readonly seed: number
}

/** Writes to a qcow2 overlay that nobody has open, as a guest would have; a persistent bitmap of it notes that. */
export function writeScattered(overlayPath: string, { diskMib, overlayMib, seed }: ScatteredWrites): void {
  const places = samples((diskMib * MIB) / WRITE_BYTES, (overlayMib * MIB) / WRITE_BYTES, seed)
  const writes = places.map((place, at) => `write -q -P ${1 + (at % 255)} ${place * WRITE_BYTES} ${WRITE_BYTES}\n`)
  runCommand('qemu-io', ['-f', 'qcow2', overlayPath], writes.join(''))
}

/** Some of the numbers from 0 up to `end`, each at most once, in no order. */
function samples(end: number, count: number, seed: number): readonly number[] {
  const random = seededRandom(seed)
  const all = Array.from({ length: end }, (_, index) => index)
  for (let index = 0; index < count; index++) {
    const other = index + Math.floor(random() * (end - index))
    const [one, two] = [all[index]!, all[other]!]
    all[index] = two
    all[other] = one
  }
  return all.slice(0, count)
}
