import { SkilfishError, type ErrorCode } from '../../errors.ts'
import { RangeList, type ImageRange } from '../extents.ts'
import { runTool } from './tool.ts'

/** How long it may take, milliseconds. QEMU asks an NBD server for each entry: 40,000 scattered changes take some 4 s. */
const MAP_TIMEOUT_MS = 600_000

/** What `qemu-img map` tells of a part of an image. */
export interface MapEntry {
  /** Both in bytes. */
  readonly start: number
  readonly length: number
  /** In which image of a chain it is, 0 for the first. */
  readonly depth: number
  readonly present: boolean
  readonly data: boolean
}

/**
 * The parts of an image that are wanted, by `qemu-img map`. There may be any number: memory is bounded as that of {@link RangeList} is.
 * @param image options that name it
 * @throws SkilfishError with `code` when the program fails
 */
export async function mappedRanges(
  code: ErrorCode,
  image: readonly string[],
  isWanted: (entry: MapEntry) => boolean,
): Promise<readonly ImageRange[]> {
  const list = new RangeList()
  await runTool(code, 'qemu-img', ['map', '--output=json', ...image], MAP_TIMEOUT_MS, (line) => {
    const entry = mapEntry(code, line)
    if (entry !== undefined && isWanted(entry)) list.add({ offset: entry.start, lengthBytes: entry.length })
  })
  return list.ranges
}

/** Reads a line of a JSON array that has each entry on a line of its own. @returns undefined for one without an entry */
export function mapEntry(code: ErrorCode, line: string): MapEntry | undefined {
  const text = line.replace(/^\[/, '').replace(/[,\]]$/, '')
  if (text === '') return undefined
  try {
    const entry = JSON.parse(text) as MapEntry
    if (Number.isSafeInteger(entry.start) && Number.isSafeInteger(entry.length)) return entry
    throw new TypeError('start and length of an entry must be whole numbers')
  } catch (cause) {
    const printed = JSON.stringify(line.slice(0, 200))
    throw new SkilfishError(code, `cannot run qemu-img map: it printed ${printed}, which is no entry`, { cause })
  }
}
