import type { Extent, RandomAccessSource, Range, StreamSource } from '../../../src/sparse/index.ts'

/** An image in memory as a random-access source. `ranges` are what it reports as data; default: all. Records its reads. */
export class MemorySource implements RandomAccessSource {
  readonly label = 'memory'
  readonly sizeBytes: number
  readonly reads: Range[] = []
  readonly image: Uint8Array
  readonly #ranges: readonly Range[]

  constructor(image: Uint8Array, ranges: readonly Range[] = [{ start: 0, end: image.length }]) {
    this.image = image
    this.sizeBytes = image.length
    this.#ranges = ranges
  }

  nextData(offset: number): Promise<Range | undefined> {
    const range = this.#ranges.find(({ end }) => end > offset)
    return Promise.resolve(range && { start: Math.max(offset, range.start), end: range.end })
  }

  dataBefore(offset: number): number {
    return this.#ranges.reduce((sum, { start, end }) => sum + Math.max(0, Math.min(end, offset) - start), 0)
  }

  readInto(offset: number, into: Uint8Array): Promise<void> {
    this.reads.push({ start: offset, end: offset + into.length })
    into.set(this.image.subarray(offset, offset + into.length))
    return Promise.resolve()
  }
}

/** Extents as a stream. Each data buffer is destroyed once the next extent is asked for, as a source may do. */
export function streamOf(extents: readonly Extent[], sizeBytes?: number): StreamSource & { isClosed: boolean } {
  return {
    label: 'stream',
    isClosed: false,
    ...(sizeBytes !== undefined && { sizeBytes }),
    async *extents() {
      try {
        for (const extent of extents) {
          await Promise.resolve()
          if (!('data' in extent)) {
            yield extent
            continue
          }
          const data = extent.data.slice()
          yield { offset: extent.offset, data }
          data.fill(0xee)
        }
      } finally {
        this.isClosed = true
      }
    },
  }
}

/** An image of `sizeBytes` zeros with some pages filled: the page's number plus one in every byte. */
export function imageOf(sizeBytes: number, pages: readonly number[]): Uint8Array {
  const image = new Uint8Array(sizeBytes)
  for (const page of pages) image.fill(page + 1, page * 4096, (page + 1) * 4096)
  return image
}
