import { describe, expect, it } from 'vitest'
import { SliceReader, type Slice } from '../../../src/sparse/index.ts'
import { imageOf, MemorySource, streamOf } from './images.ts'

const SLICE_BYTES = 16_384
const PAGES_PER_SLICE = 4
const CALLS_AT_ONCE = 6

/** Answers later, in another order, and counts the reads under way. */
class LateSource extends MemorySource {
  mostUnderWay = 0
  #underWay = 0

  override async readInto(offset: number, into: Uint8Array): Promise<void> {
    this.mostUnderWay = Math.max(this.mostUnderWay, ++this.#underWay)
    for (let turns = (offset / 4096) % 5; turns >= 0; turns--) await new Promise(setImmediate)
    this.#underWay--
    await super.readInto(offset, into)
  }

  get readBytes(): number {
    return this.reads.reduce((sum, { start, end }) => sum + end - start, 0)
  }
}

/** All slices, with {@link CALLS_AT_ONCE} under way, and their data. */
async function readAll(reader: SliceReader): Promise<{ slices: Slice[]; plain: Uint8Array[] }> {
  const [slices, plain]: [Slice[], Uint8Array[]] = [[], []]
  const ahead: { into: Uint8Array; slice: Promise<Slice | undefined> }[] = []
  for (;;) {
    while (ahead.length < CALLS_AT_ONCE && !reader.hasEnded) {
      const into = new Uint8Array(SLICE_BYTES)
      ahead.push({ into, slice: reader.next(into) })
    }
    const next = ahead.shift()
    const slice = await next?.slice
    if (slice === undefined) return { slices, plain }
    slices.push(slice)
    plain.push(next!.into.slice(0, slice.plainBytes))
  }
}

/** Numbers of the pages in so many slices, of which those hold data that `isData` picks by the number of the slice. */
const pagesOf = (sliceCount: number, isData: (slice: number, page: number) => boolean): number[] =>
  [...Array(sliceCount * PAGES_PER_SLICE).keys()].filter((page) => isData(Math.floor(page / PAGES_PER_SLICE), page))

describe('SliceReader', () => {
  it.each([
    ['without holes', pagesOf(60, () => true)],
    [
      'with long stretches and holes of odd lengths',
      pagesOf(60, (slice, page) => slice % 17 !== 9 && page % 71 !== 13),
    ],
    ['with data in every other page', pagesOf(60, (_slice, page) => page % 2 === 0)],
    ['whose data ends long before it does', pagesOf(30, () => true)],
  ])('cuts an image %s as if read slice by slice', async (_title, pages) => {
    const image = imageOf(60 * SLICE_BYTES, pages)
    const { slices, plain } = await readAll(new SliceReader(new LateSource(image), SLICE_BYTES))
    const one = new SliceReader(new MemorySource(image), SLICE_BYTES)
    for (const [index, slice] of slices.entries()) {
      const into = new Uint8Array(SLICE_BYTES)
      expect(await one.next(into)).toEqual(slice)
      expect(Buffer.compare(plain[index]!, into.subarray(0, slice.plainBytes))).toBe(0)
      expect(Buffer.compare(await again(one, slice), plain[index]!)).toBe(0)
    }
    expect(await one.next(new Uint8Array(SLICE_BYTES))).toBeUndefined()
  })

  async function again(reader: SliceReader, { spanStart, spanEnd, plainBytes }: Slice): Promise<Uint8Array> {
    const into = new Uint8Array(SLICE_BYTES)
    await reader.again(spanStart, spanEnd, into)
    return into.subarray(0, plainBytes)
  }

  it('reads several slices at once where there are no holes, and each once', async () => {
    const source = new LateSource(
      imageOf(
        60 * SLICE_BYTES,
        pagesOf(60, () => true),
      ),
    )
    await readAll(new SliceReader(source, SLICE_BYTES))
    expect(source.mostUnderWay).toBe(CALLS_AT_ONCE)
    expect(source.readBytes).toBe(60 * SLICE_BYTES)
  })

  it.each([1, 3, 5, 9, 20])('reads little in vain in stretches of %d slices', async (slicesToHole) => {
    const isHole = (slice: number, page: number): boolean => slice % slicesToHole === 0 && page % PAGES_PER_SLICE === 0
    const source = new LateSource(
      imageOf(
        200 * SLICE_BYTES,
        pagesOf(200, (slice, page) => !isHole(slice, page)),
      ),
    )
    await readAll(new SliceReader(source, SLICE_BYTES))
    expect(source.readBytes).toBeLessThanOrEqual(1.25 * source.sizeBytes + SLICE_BYTES)
  })

  it('fails at the slice that cannot be read, and reads nothing behind it', async () => {
    const source = new LateSource(
      imageOf(
        60 * SLICE_BYTES,
        pagesOf(60, () => true),
      ),
    )
    const readInto = source.readInto.bind(source)
    source.readInto = (offset, into) =>
      offset === 40 * SLICE_BYTES ? Promise.reject(new Error('torn')) : readInto(offset, into)
    const reader = new SliceReader(source, SLICE_BYTES)
    const calls = Array.from({ length: 30 }, () => reader.next(new Uint8Array(SLICE_BYTES)))
    expect((await Promise.all(calls)).at(-1)?.spanEnd).toBe(30 * SLICE_BYTES)
    const more = Array.from({ length: 15 }, () => reader.next(new Uint8Array(SLICE_BYTES)))
    const outcomes = await Promise.allSettled(more)
    expect(outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value?.spanEnd : 'failed'))).toEqual([
      ...Array.from({ length: 10 }, (_, index) => (31 + index) * SLICE_BYTES),
      'failed',
      ...Array<undefined>(4).fill(undefined),
    ])
    expect(reader.hasEnded).toBe(true)
    expect(await reader.next(new Uint8Array(SLICE_BYTES))).toBeUndefined()
  })

  it('reads nothing more once it is closed', async () => {
    const source = new LateSource(
      imageOf(
        20 * SLICE_BYTES,
        pagesOf(20, () => true),
      ),
    )
    const reader = new SliceReader(source, SLICE_BYTES)
    await reader.next(new Uint8Array(SLICE_BYTES))
    await reader.close()
    expect(await reader.next(new Uint8Array(SLICE_BYTES))).toBeUndefined()
    expect(source.reads.length).toBe(1)
  })

  it('reads a stream one slice after the other, and cannot read it again', async () => {
    const image = imageOf(
      10 * SLICE_BYTES,
      pagesOf(10, (slice) => slice !== 3),
    )
    const reader = new SliceReader(streamOf([{ offset: 0, data: image }]), SLICE_BYTES)
    expect(reader.imageBytes).toBeUndefined()
    const { slices } = await readAll(reader)
    expect(slices.map(({ spanEnd }) => spanEnd / SLICE_BYTES)).toEqual([1, 2, 3, 5, 6, 7, 8, 9, 10])
    expect(reader.imageBytes).toBe(image.length)
    expect(reader.canReread).toBe(false)
    expect(() => reader.again(0, SLICE_BYTES, new Uint8Array(SLICE_BYTES))).toThrow(TypeError)
  })
})
