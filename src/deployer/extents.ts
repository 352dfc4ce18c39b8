/** A part of an image, bytes. */
export interface ImageRange {
  readonly offset: number
  readonly lengthBytes: number
}

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
