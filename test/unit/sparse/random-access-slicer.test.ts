import { describe, expect, it } from 'vitest'
import { RandomAccessSlicer, type Slice } from '../../../src/sparse/index.ts'
import { imageOf, MemorySource } from './images.ts'

const SLICE_BYTES = 16_384

async function readAll(source: MemorySource): Promise<Slice[]> {
  const slicer = new RandomAccessSlicer(source, SLICE_BYTES)
  const into = new Uint8Array(SLICE_BYTES)
  const slices: Slice[] = []
  for (let at = 0; ; at = slices.at(-1)!.spanEnd) {
    const slice = await slicer.read(at, into)
    if (slice === undefined) return slices
    slices.push(slice)
  }
}

const data = (offset: number, lengthBytes: number) => ({ offset, lengthBytes, isZero: false })

describe('RandomAccessSlicer', () => {
  it('packs the pages that are not zero', async () => {
    const source = new MemorySource(imageOf(12 * 4096, [1, 2, 4, 6, 9]))
    expect(await readAll(source)).toEqual([
      {
        spanStart: 0,
        spanEnd: 28_672,
        plainBytes: 16_384,
        runs: [data(4096, 8192), data(16_384, 4096), data(24_576, 4096)],
      },
      { spanStart: 28_672, spanEnd: 40_960, plainBytes: 4096, runs: [data(36_864, 4096)] },
    ])
  })

  it('puts the data into the buffer back to back', async () => {
    const source = new MemorySource(imageOf(8 * 4096, [1, 3, 4, 7]))
    const into = new Uint8Array(SLICE_BYTES)
    await new RandomAccessSlicer(source, SLICE_BYTES).read(0, into)
    expect([0, 4095, 4096, 8192, 12_287, 12_288, 16_383].map((at) => into[at])).toEqual([2, 2, 4, 5, 5, 8, 8])
  })

  it.each([0, 1, 4095, 4097, 5 * 4096 + 1])('takes an image of %d bytes', async (sizeBytes) => {
    const image = new Uint8Array(sizeBytes).fill(9)
    const slices = await readAll(new MemorySource(image))
    expect(slices.reduce((sum, { plainBytes }) => sum + plainBytes, 0)).toBe(sizeBytes)
    expect(slices.at(-1)?.spanEnd ?? 0).toBe(sizeBytes)
  })

  it('yields nothing for an image of zeros', async () => {
    expect(await readAll(new MemorySource(new Uint8Array(100_000)))).toEqual([])
  })

  it('never reads holes, and reads dense data once', async () => {
    const dense = new MemorySource(imageOf(8 * 4096, [0, 1, 2, 3, 4, 5, 6, 7]))
    await readAll(dense)
    expect(dense.reads).toEqual([
      { start: 0, end: 16_384 },
      { start: 16_384, end: 32_768 },
    ])
    const sparse = new MemorySource(imageOf(1_000_000, [100]), [{ start: 409_600, end: 413_696 }])
    await readAll(sparse)
    expect(sparse.reads).toEqual([{ start: 409_600, end: 413_696 }])
  })

  it('reads long zeros in large pieces even when little room is left', async () => {
    const source = new MemorySource(imageOf(1000 * 4096, [0, 1, 2]))
    await new RandomAccessSlicer(source, SLICE_BYTES).read(0, new Uint8Array(SLICE_BYTES))
    expect(source.reads.length).toBe(250)
  })

  it('looks at nothing behind the end that it is given', async () => {
    const source = new MemorySource(imageOf(20 * 4096, [1, 2, 15]))
    const slice = await new RandomAccessSlicer(source, SLICE_BYTES).read(0, new Uint8Array(SLICE_BYTES), 3 * 4096)
    expect(slice?.runs).toEqual([data(4096, 8192)])
    expect(source.reads).toEqual([{ start: 0, end: 12_288 }])
  })

  it('sends whole pages where the source reports a finer grain', async () => {
    const image = new Uint8Array(3 * 4096)
    image[5000] = 1
    image[5100] = 2
    const ranges = [
      { start: 5000, end: 5001 },
      { start: 5100, end: 5101 },
    ]
    expect(await readAll(new MemorySource(image, ranges))).toEqual([
      { spanStart: 0, spanEnd: 8192, plainBytes: 4096, runs: [data(4096, 4096)] },
    ])
  })

  it('serves several reads at once', async () => {
    const pages = Array.from({ length: 64 }, (_, page) => page).filter((page) => page % 3 !== 0)
    const source = new MemorySource(imageOf(64 * 4096, pages))
    const slicer = new RandomAccessSlicer(source, SLICE_BYTES)
    const alone = await readAll(source)
    const buffers = alone.map(() => new Uint8Array(SLICE_BYTES))
    const together = await Promise.all(alone.map(({ spanStart }, index) => slicer.read(spanStart, buffers[index]!)))
    expect(together).toEqual(alone)
    for (const [index, { runs }] of alone.entries()) expect(buffers[index]![0]).toBe(runs[0]!.offset / 4096 + 1)
  })

  it('refuses a source whose ranges go back', async () => {
    const source = new MemorySource(imageOf(8192, [0]))
    source.nextData = () => Promise.resolve({ start: 0, end: 4096 })
    await expect(readAll(source)).rejects.toThrow(RangeError)
  })
})
