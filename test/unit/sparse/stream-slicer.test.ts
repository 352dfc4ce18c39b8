import { describe, expect, it } from 'vitest'
import { StreamSlicer, type Extent, type Slice } from '../../../src/sparse/index.ts'
import { imageOf, streamOf } from './images.ts'

const SLICE_BYTES = 16_384

async function sliceAll(
  extents: readonly Extent[],
  sizeBytes?: number,
): Promise<{ slices: Slice[]; imageBytes?: number }> {
  const slicer = new StreamSlicer(streamOf(extents, sizeBytes), SLICE_BYTES)
  const into = new Uint8Array(SLICE_BYTES)
  const slices: Slice[] = []
  for (;;) {
    const slice = await slicer.read(into)
    if (slice === undefined) return { slices, imageBytes: slicer.imageBytes! }
    slices.push(slice)
  }
}

const ones = (offset: number, lengthBytes: number): Extent => ({ offset, data: new Uint8Array(lengthBytes).fill(1) })
const zeros = (offset: number, zeroBytes: number): Extent => ({ offset, zeroBytes })
const run = (offset: number, lengthBytes: number, isZero = false) => ({ offset, lengthBytes, isZero })

describe('StreamSlicer', () => {
  it('skips zero pages, and keeps extents of zeros', async () => {
    const image = imageOf(5 * 4096, [1, 4])
    expect(await sliceAll([{ offset: 0, data: image }, zeros(20_480, 1e12)])).toEqual({
      slices: [
        {
          spanStart: 0,
          spanEnd: 1e12 + 20_480,
          plainBytes: 8192,
          runs: [run(4096, 4096), run(16_384, 4096), run(20_480, 1e12, true)],
        },
      ],
      imageBytes: 1e12 + 20_480,
    })
  })

  it('fills pages that extents cover in part', async () => {
    const { slices } = await sliceAll(
      [ones(100, 1), ones(200, 1), zeros(300, 10), ones(9000, 10), zeros(13_000, 20)],
      20_000,
    )
    expect(slices.map(({ runs }) => runs)).toEqual([[run(0, 4096), run(8192, 4096), run(12_288, 4096, true)]])
  })

  it('cuts the last page at the end of the image', async () => {
    expect((await sliceAll([ones(0, 5000)])).slices[0]?.runs).toEqual([run(0, 5000)])
    expect((await sliceAll([ones(0, 5000)], 6000)).slices[0]?.runs).toEqual([run(0, 6000)])
    expect((await sliceAll([zeros(5000, 50)], 6000)).slices[0]?.runs).toEqual([run(4096, 1904, true)])
    expect(await sliceAll([{ offset: 0, data: new Uint8Array(5000) }])).toEqual({ slices: [], imageBytes: 5000 })
  })

  it('tells the size only when it is known', async () => {
    const slicer = new StreamSlicer(streamOf([ones(0, 3 * SLICE_BYTES)]), SLICE_BYTES)
    await slicer.read(new Uint8Array(SLICE_BYTES))
    expect(slicer.imageBytes).toBeUndefined()
    expect(new StreamSlicer(streamOf([], 77), SLICE_BYTES).imageBytes).toBe(77)
  })

  it('gives a full slice away before it asks for the next extent', async () => {
    const slicer = new StreamSlicer(
      {
        label: 'slow',
        async *extents() {
          yield ones(0, SLICE_BYTES)
          await new Promise(() => undefined)
        },
      },
      SLICE_BYTES,
    )
    expect((await slicer.read(new Uint8Array(SLICE_BYTES)))?.plainBytes).toBe(SLICE_BYTES)
  })

  it('ends a slice at the run limit, however zeros are cut', async () => {
    const whole = Array.from({ length: 20 }, (_, index) => zeros(index * 40_960, 8192))
    const cut = whole.flatMap(({ offset }) => [zeros(offset, 4096), zeros(offset + 4096, 4096)])
    const { slices } = await sliceAll(whole)
    expect(slices.map(({ runs }) => runs.length)).toEqual([8, 8, 4])
    expect((await sliceAll(cut)).slices).toEqual(slices)
  })

  it('ends a slice at the run limit between zeros and data', async () => {
    const mixed = Array.from({ length: 12 }, (_, index) => [
      zeros(index * 40_960, 4096),
      ones(index * 40_960 + 8192, 10),
    ])
    const { slices } = await sliceAll([...mixed.flat().slice(0, 5), ...mixed.flat().slice(6)])
    for (const { runs, plainBytes } of slices) {
      expect(runs.length).toBeLessThanOrEqual(8)
      expect(plainBytes).toBeLessThanOrEqual(SLICE_BYTES)
    }
    const runs = slices.flatMap((slice) => slice.runs)
    expect(runs.filter(({ isZero }) => isZero).length).toBe(12)
    expect(runs.filter(({ isZero }) => !isZero).length).toBe(11)
  })

  it('ignores empty extents, except that they may tell the size', async () => {
    expect(await sliceAll([ones(0, 0), zeros(0, 0), ones(4096, 0)])).toEqual({ slices: [], imageBytes: 4096 })
    expect((await sliceAll([zeros(5000, 0), ones(9000, 1)])).slices[0]?.runs).toEqual([run(8192, 809)])
  })

  it.each([
    ['overlap', [ones(0, 100), ones(99, 1)]],
    ['go back', [zeros(8192, 4096), ones(0, 1)]],
  ])('refuses extents that %s', async (_, extents) => {
    await expect(sliceAll(extents)).rejects.toMatchObject({ code: 'SOURCE_UNORDERED' })
  })

  it('refuses an extent behind the size that the source told', async () => {
    await expect(sliceAll([ones(90, 11)], 100)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' })
  })

  it.each([
    [-1, 5],
    [0.5, 5],
    [0, -5],
    [NaN, 1],
    [0, Infinity],
    [Number.MAX_SAFE_INTEGER, 1],
  ])('refuses an extent at %d of %d zeros', async (offset, zeroBytes) => {
    await expect(sliceAll([zeros(offset, zeroBytes)])).rejects.toThrow(RangeError)
  })

  it('closes the generator when it is closed early', async () => {
    const source = streamOf([ones(0, SLICE_BYTES), ones(SLICE_BYTES, 1)])
    const slicer = new StreamSlicer(source, SLICE_BYTES)
    await slicer.read(new Uint8Array(SLICE_BYTES))
    await slicer.close()
    expect(source.isClosed).toBe(true)
  })
})
