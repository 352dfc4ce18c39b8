/** A part of an image, bytes. */
export interface ImageRange {
  readonly offset: number
  readonly lengthBytes: number
}

/** Most ranges that are kept of one image. Each takes some 120 bytes of memory, and up to 50 in a request to a host. */
const MAX_RANGE_COUNT = 1024 * 1024

/**
 * Ranges of an image that are found one after the other, in order; those that touch are one. They are to be copied, and to copy what lies
 * between them too does no harm: when there are too many, each two neighbours become one, so that memory stays bounded.
 */
export class RangeList {
  readonly #maxCount: number
  #ranges: ImageRange[] = []

  /** @param maxCount at least 2, default 1,048,576 */
  constructor(maxCount: number = MAX_RANGE_COUNT) {
    this.#maxCount = maxCount
  }

  get ranges(): readonly ImageRange[] {
    return this.#ranges
  }

  add(range: ImageRange): void {
    const last = this.#ranges.at(-1)
    if (last !== undefined && endOf(last) === range.offset) {
      this.#ranges[this.#ranges.length - 1] = joined(last, range)
      return
    }
    if (this.#ranges.length === this.#maxCount) {
      const isFirst = (index: number): boolean => index % 2 === 0
      this.#ranges = this.#ranges.flatMap((one, index, all) =>
        isFirst(index) ? joined(one, all[index + 1] ?? one) : [],
      )
    }
    this.#ranges.push(range)
  }
}

const endOf = ({ offset, lengthBytes }: ImageRange): number => offset + lengthBytes

/** With what is between them. */
const joined = (first: ImageRange, second: ImageRange): ImageRange => ({
  offset: first.offset,
  lengthBytes: endOf(second) - first.offset,
})

/** Cuts ranges into pieces of at most `pieceBytes`. */
export function* pieces(ranges: Iterable<ImageRange>, pieceBytes: number): Generator<ImageRange, void, void> {
  for (const { offset, lengthBytes } of ranges) {
    for (let at = 0; at < lengthBytes; at += pieceBytes) {
      yield { offset: offset + at, lengthBytes: Math.min(pieceBytes, lengthBytes - at) }
    }
  }
}

/** Puts ranges together in portions of `portionBytes`, in order; the last may be smaller. */
export function portions(ranges: readonly ImageRange[], portionBytes: number): readonly (readonly ImageRange[])[] {
  const all: ImageRange[][] = []
  let roomBytes = 0
  for (const { offset, lengthBytes } of ranges) {
    for (let at = 0; at < lengthBytes;) {
      if (roomBytes === 0) {
        all.push([])
        roomBytes = portionBytes
      }
      const length = Math.min(roomBytes, lengthBytes - at)
      all.at(-1)!.push({ offset: offset + at, lengthBytes: length })
      at += length
      roomBytes -= length
    }
  }
  return all
}

export const totalBytes = (ranges: readonly ImageRange[]): number =>
  ranges.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)

/** Runs `work` for every item, `depth` of them at once; the first failure ends it when those under way have ended. */
export async function forEach<Item>(
  items: Iterable<Item>,
  depth: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]()
  let failure: { readonly error: unknown } | undefined
  const worker = async (): Promise<void> => {
    for (let next = iterator.next(); failure === undefined && next.done !== true; next = iterator.next()) {
      try {
        await work(next.value)
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: depth }, worker))
  if (failure !== undefined) throw failure.error
}
